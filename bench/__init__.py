"""What is measured: every module here is one bench, and what they stand on has folders."""
