"""What every long-running process has: how it was started, its heartbeat, its event loop."""
