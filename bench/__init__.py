"""Benches: each module here is one measurement, and what they stand on has folders."""
