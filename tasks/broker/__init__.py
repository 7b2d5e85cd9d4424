"""The broker's traffic: names, slices, wakes, events, commands."""
