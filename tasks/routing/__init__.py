"""Which deployment gets an item: what the routing stage, a quote and a settlement decide alike."""
