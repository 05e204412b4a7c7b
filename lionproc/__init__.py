"""Put an LLM to work on the columns of a DataFrame."""
