"""Accounting: spending by task, tier and budget, and the proof that the books balance."""
