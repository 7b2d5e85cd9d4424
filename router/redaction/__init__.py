"""Redaction: rules that find personal data, and pseudonyms that leave in its place."""
