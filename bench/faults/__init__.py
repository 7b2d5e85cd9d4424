"""Kill everything, again and again, and count what was lost: real workers, both databases."""
