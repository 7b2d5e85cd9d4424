"""What is known of whether answers are right, and what was paid for them."""
