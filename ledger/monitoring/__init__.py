"""Monitoring: who is alive, what waits and what died, at a cost that no backlog raises."""
