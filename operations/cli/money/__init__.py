"""Commands about ceilings, spending and the books."""
