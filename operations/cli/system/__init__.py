"""Commands about processes, tiers, the policy and schedules."""
