"""What arrives on a queue: read, refused to its sender, or kept with its bytes."""
