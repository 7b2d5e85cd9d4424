"""Answers of a model that is not there, and what they cost."""
