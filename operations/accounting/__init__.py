"""The books beside what providers say, and beside what other tiers would have cost."""
