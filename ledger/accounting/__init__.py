"""What was spent and on what, and the proof that the books balance."""
