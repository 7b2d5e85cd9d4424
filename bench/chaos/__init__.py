"""What the fault bench runs: real worker processes, producers and the faults that befall them."""
