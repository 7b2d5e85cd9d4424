"""The price of frontier accuracy from a ladder of a small model and a frontier one."""
