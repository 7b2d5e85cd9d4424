"""The batch lane: what has time goes to its provider in batches, at half the price."""
