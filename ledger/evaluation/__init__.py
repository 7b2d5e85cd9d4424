"""Evidence of whether answers are right, and what was paid for them."""
