"""What leaves under a pseudonym: rules that find it, and pseudonyms that stand for it."""
