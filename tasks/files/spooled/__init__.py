"""Sources that are read but once, kept in a file of this process meanwhile."""
