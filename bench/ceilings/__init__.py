"""The bench of ceilings: concurrency, kills, retries, escalations and lost replies."""
