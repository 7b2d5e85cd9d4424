"""A producer: calls and gets results, with as many calls outstanding as it may have."""

import json
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

OUTSTANDING = 200
"""Calls a producer has made and not yet got the result of."""

PATIENCE = 120
"""Seconds a result may take before the producer gives up, and the bench with it."""


def produce(call: Callable[[int], Any]) -> None:
    """Call and ``.get()`` for as long as the command line says; prints what came of it.

    Arguments: seconds of warming up, seconds of counting. Every call gets its own ``.get()``,
    oldest first; counted are those that return while it counts. The line printed is
    ``{"results": n, "seconds": s, "cpu": s}``.
    """
    warming, counting = float(sys.argv[1]), float(sys.argv[2])
    outstanding: deque[Any] = deque()
    calls = results = 0
    begin = time.monotonic() + warming
    end = begin + counting
    cpu = 0.0
    now = time.monotonic()
    while now < end:
        if len(outstanding) < OUTSTANDING:
            outstanding.append(call(calls))
            calls += 1
            now = time.monotonic()
            continue
        outstanding.popleft().get(timeout=PATIENCE)
        now = time.monotonic()
        if now < begin:
            cpu = time.process_time()
        elif now < end:
            results += 1
    cpu = time.process_time() - cpu
    for each in outstanding:
        each.get(timeout=PATIENCE)
    told = {"results": results, "seconds": counting, "cpu": cpu, "all": time.process_time()}
    print(json.dumps(told))
