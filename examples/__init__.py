"""What a team writes of its own: a pipeline, a triage, and a demonstration of the whole system."""
