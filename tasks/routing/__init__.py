"""Routing of items to deployments: one decision for routing stage, quotes and settlements."""
