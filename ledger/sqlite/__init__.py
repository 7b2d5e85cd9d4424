"""What a ledger in a SQLite file needs of its own: its path, turns to write, a log of moves."""
