"""Wire formats: the forms of each provider's requests and replies, and what they refuse."""
