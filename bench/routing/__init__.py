"""How well the gain predictor spends the strong model's calls, beside a few lines."""
