"""Models learned from labels: who gains from a more expensive tier, who needs no model at all."""
