"""Operators' reads and changes: dead letters, jobs, ceilings, erasure, raw messages."""
