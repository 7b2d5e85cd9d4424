"""The bench of the gain predictor: how it spends the strong model's calls, beside a few lines."""
