"""The demonstration: two thousand documents through all tiers, against the sandbox."""
