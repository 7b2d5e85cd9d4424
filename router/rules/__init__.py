"""Rules that answer without a model: what a text must be for that."""
