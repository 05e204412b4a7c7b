"""The service layer: branches, requests, batches and pipelines on the one engine."""
