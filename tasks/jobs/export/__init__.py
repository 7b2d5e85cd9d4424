"""A job's rows given back with what became of them: its file, or the rows of somebody's table."""
