"""How the code is read: its modules, docstrings and the fields of its models."""
