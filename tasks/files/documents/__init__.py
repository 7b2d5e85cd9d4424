"""Documents as rows: text out of each kind of file, whole or by pages; one bad one is one row."""
