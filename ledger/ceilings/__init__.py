"""What may be spent: the books of holds and charges, how they stand, and whom to warn."""
