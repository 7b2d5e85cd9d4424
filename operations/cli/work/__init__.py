"""Commands about items, jobs and what became of them."""
