"""Waiting for a state: the one way in which a test waits."""

import threading
import time
from collections.abc import Callable
from typing import Any

PATIENCE_SECONDS = 60.0
"""Seconds: a state that comes, comes in far less; only one that never comes takes this long."""

_TICK_SECONDS = 0.02


def until(met: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """Wait for a state and return it; fails when it does not come."""
    end, pause = time.monotonic() + seconds, threading.Event()
    while not (found := met()):
        assert time.monotonic() < end, "the awaited state did not come"
        pause.wait(_TICK_SECONDS)
    return found
