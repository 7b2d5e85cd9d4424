"""What is asked and replied in: the forms of each provider, and what they take and refuse."""
