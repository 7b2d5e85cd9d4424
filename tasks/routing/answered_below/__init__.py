"""Who would answer without a call: foreseen for files and for recorded items."""
