"""What a ladder of a small model and a frontier one costs for the frontier's accuracy."""
