"""What a task type is: how a call is checked and committed, and how an answer is judged."""
