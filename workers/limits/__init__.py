"""Limits of a deployment: limiter, breaker, calls in flight."""
