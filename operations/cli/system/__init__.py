"""Commands about processes, tiers and the policy."""
