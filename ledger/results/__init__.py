"""What producers are owed when items end, and whether they were told."""
