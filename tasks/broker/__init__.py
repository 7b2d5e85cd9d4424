"""What travels over the broker: names, slices, wakes, events, commands."""
