"""What commands take: options, names with their typos, a ledger of the right revision."""
