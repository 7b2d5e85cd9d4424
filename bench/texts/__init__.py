"""Texts of the benches: tickets, the same in other hands, and foreign matters."""
