"""How much may be asked of a deployment now: limiter, breaker, calls in flight."""
