"""The routing stage: submitted items are routed and sent in slices."""
