"""The common parts of long-running processes: their start, their heartbeat, their event loop."""
