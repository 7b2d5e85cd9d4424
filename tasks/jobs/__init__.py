"""Files of work: read row by row, quoted, submitted in batches."""
