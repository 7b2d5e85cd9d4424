"""State in force for all processes: policy, conditions, pauses, calls in flight of a tier."""
