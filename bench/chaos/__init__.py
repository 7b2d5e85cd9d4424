"""The fault bench's run: real worker processes, producers and the faults that befall them."""
