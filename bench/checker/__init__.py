"""The oracle of the fault bench: judges a run from its ledger and its logs alone."""
