"""A producer of the calls of many tenants, by turns; waits for none of them.

Arguments: how many tenants, calls of each, seconds between two calls, their latency, and a paused
budget to resume just before the first of them, or nothing. The line printed is an object: by item
id the budget, and when ``.delay()`` was called, in seconds since the epoch.
"""

import json
import sys
import time
from typing import Literal, cast

from bench.texts.tickets import LABELS, ticket
from tierqueue.ledger.in_force import pauses
from tierqueue.tasks import classify
from tierqueue.tasks.app import app


def main() -> None:
    tenants, each, pause = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    latency = cast("Literal['interactive', 'background']", sys.argv[4])
    # Connections are opened and code is loaded by a call that is not told.
    classify.delay(ticket(0), LABELS, budget="first", latency=latency)
    if sys.argv[5]:
        with app.installation.ledger.write() as connection:
            pauses.resume(connection, "budget", sys.argv[5], "bench")
    sent: dict[str, tuple[str, float]] = {}
    for number in range(each * tenants):
        budget, at = f"tenant{number % tenants}", time.time()
        result = classify.delay(ticket(number), LABELS, budget=budget, latency=latency)
        sent[result.id] = (budget, at)
        time.sleep(pause)
    app.installation.wakes.flush()
    print(json.dumps(sent))


if __name__ == "__main__":
    main()
