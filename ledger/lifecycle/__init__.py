"""The lifecycle: every move of an item from submitted to its end, each in one transaction."""
