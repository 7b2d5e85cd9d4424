"""What operators read and change: dead letters, jobs, ceilings, erasure, raw messages."""
