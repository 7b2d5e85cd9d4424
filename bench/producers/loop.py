"""A producer: calls and gets results, with as many calls outstanding as it may have."""

import json
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

OUTSTANDING = 200
"""Calls a producer has made and not yet got the result of."""

PATIENCE_SECONDS = 120
"""Seconds a result may take before the producer gives up, and the bench with it."""


def produce(call: Callable[[int], Any]) -> None:
    """Call and ``.get()`` for as long as the command line says; prints what came of it.

    Arguments: seconds of warming up, seconds of counting. Every call gets its own ``.get()``,
    oldest first; counted are those that return while it counts. It warms up once as many calls are
    outstanding as may be: on a busy machine the first calls alone take longer than a short count.
    The line printed is ``{"results": n, "seconds": s, "cpu": s}``; where nothing came while it
    counted it says so and exits with status 1.
    """
    warming, counting = float(sys.argv[1]), float(sys.argv[2])
    outstanding: deque[Any] = deque()
    calls = results = 0
    while calls < OUTSTANDING:
        outstanding.append(call(calls))
        calls += 1
    called = time.monotonic()
    begin = called + warming
    end = begin + counting
    cpu = 0.0
    now = time.monotonic()
    while now < end:
        if len(outstanding) < OUTSTANDING:
            outstanding.append(call(calls))
            calls += 1
            now = time.monotonic()
            continue
        outstanding.popleft().get(timeout=PATIENCE_SECONDS)
        now = time.monotonic()
        if now < begin:
            cpu = time.process_time()
        elif now < end:
            results += 1
    cpu = time.process_time() - cpu
    if not results:
        waited = time.monotonic() - called
        outstanding.popleft().get(timeout=PATIENCE_SECONDS)
        late = time.monotonic() - called
        sys.exit(
            f"no result came in the {counting} s that were counted: {waited:.1f} s after "
            f"{OUTSTANDING} calls were made one was waited for, which came after {late:.1f} s; the "
            "machine is too busy to be measured, or what is measured stands still"
        )
    for result in outstanding:
        result.get(timeout=PATIENCE_SECONDS)
    told = {"results": results, "seconds": counting, "cpu": cpu, "all": time.process_time()}
    print(json.dumps(told))
