"""What a model is asked to answer in, and whether its answer is good enough."""
