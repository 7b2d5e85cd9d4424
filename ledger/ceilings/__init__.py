"""Ceilings of spending: the books of holds and charges, their status, and whom to warn."""
