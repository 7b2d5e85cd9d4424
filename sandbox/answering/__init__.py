"""What a model that is not there answers, and what that costs."""
