"""Alerts: bills, ceilings and deployments that need a person, and the hook that says so."""
