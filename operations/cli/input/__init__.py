"""The input of commands: options, names with their typos, a ledger of the right revision."""
