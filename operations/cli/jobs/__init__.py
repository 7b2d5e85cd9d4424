"""Commands about jobs: files of work, their rows and what became of them."""
