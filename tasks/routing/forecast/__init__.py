"""Forecasts of calls that are not made: where each would go, who would answer, what is refused."""
