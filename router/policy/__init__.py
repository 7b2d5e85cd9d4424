"""The policy file as the router knows it: its keys, their defaults, and what is wrong with them."""
