"""Maintenance by the routing stage's ticks: ended leases, lost messages, what has had its time."""
