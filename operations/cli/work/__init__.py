"""Commands about items and what became of them."""
