"""What does the work: one entrance a process, and the only place that spends money."""
