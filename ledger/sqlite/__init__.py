"""A SQLite file's own needs as a ledger: its path, turns to write, a log of moves."""
