"""Flower as this system shows it."""
