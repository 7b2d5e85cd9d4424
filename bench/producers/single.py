"""A producer of single calls: the next one only when all is quiet again.

Arguments: how many calls, seconds of quiet between them. The line printed is an object: when each
``.delay()`` was called, in seconds since the epoch, by item id.
"""

import json
import sys
import time

from bench.texts.tickets import LABELS, ticket
from tierqueue.tasks import classify

WARMING = 5
"""Calls that are made first and not told: connections are opened, code is loaded."""


def main() -> None:
    count, pause = int(sys.argv[1]), float(sys.argv[2])
    delayed: dict[str, float] = {}
    for number in range(WARMING + count):
        at = time.time()
        result = classify.delay(ticket(number), LABELS)
        result.get(timeout=60)
        if number >= WARMING:
            delayed[result.id] = at
        time.sleep(pause)
    print(json.dumps(delayed))


if __name__ == "__main__":
    main()
