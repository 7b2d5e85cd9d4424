"""Images: what one is by its own bytes, and how many tokens a model counts it as."""
