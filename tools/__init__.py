"""What only a checkout needs: nothing of it is installed."""
