"""Task types: how a call is checked and committed, and how an answer is judged."""
