"""Files people have: read row by row in constant memory, and given back with columns added."""
