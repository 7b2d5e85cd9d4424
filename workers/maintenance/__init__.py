"""What the routing stage's ticks mend: ended leases, lost messages, what has had its time."""
