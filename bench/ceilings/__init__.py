"""What ceilings are worth under concurrency, kills, retries, escalations and lost replies."""
