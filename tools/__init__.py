"""Tools of a checkout: nothing of them is installed."""
