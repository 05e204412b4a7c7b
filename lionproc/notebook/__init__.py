"""What a person sees: progress, the panel and the card. Reads the engine, never steers around it."""
