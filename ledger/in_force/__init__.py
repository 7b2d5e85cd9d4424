"""What holds for all processes at once: policy, conditions, pauses, calls in flight of a tier."""
