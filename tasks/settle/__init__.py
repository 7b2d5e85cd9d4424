"""What becomes of a call that ended: decided here, written by the ledger."""
