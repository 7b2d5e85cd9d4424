"""Where an item is: every move from submitted to its end, each in one transaction."""
