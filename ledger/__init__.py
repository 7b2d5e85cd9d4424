"""The ledger: every item, hold and charge, in SQL and nowhere else."""
