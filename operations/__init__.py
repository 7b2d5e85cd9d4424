"""What people run: the command line, health, Flower, accounting."""
