"""Is what a provider allows used up and not passed, by eight workers together?"""
