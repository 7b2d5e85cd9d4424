"""Readers of the code: its modules, docstrings and the fields of its models."""
