"""Examples of a team's own code: a pipeline, a triage, a demonstration of the whole system."""
