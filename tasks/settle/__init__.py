"""The settlement of a call that ended: decided here, written by the ledger."""
