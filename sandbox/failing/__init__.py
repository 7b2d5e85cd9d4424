"""Failures on demand: faults by plan, troubles of a provider, limits that are passed."""
