"""From a call to a committed item: what a task type is, and what is checked."""
