"""What the benches ask about: tickets, the same in other hands, and foreign matters."""
