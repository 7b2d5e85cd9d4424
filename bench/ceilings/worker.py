"""A tier's worker as the Procfile starts it, with its claims timed.

``BENCH_TIER`` names the tier, ``BENCH_CLAIMS`` a folder: each claim leaves its milliseconds there.
With ``BENCH_HOLD=off`` the worker is a broken twin for the negative control, which claims without
holding anything.
"""

import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Connection

import tierqueue.tasks.kinds  # noqa: F401 - registers the task types
from tierqueue.ledger.ceilings import books
from tierqueue.ledger.ceilings.books import Hold, Need
from tierqueue.router.item import Tier
from tierqueue.tasks.app import app
from tierqueue.workers.tier_worker import TierWorker


class ClaimTimes:
    """The checkpoints around a claim, each claim's milliseconds as one line of a file."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._began = threading.local()

    def __call__(self, point: str) -> None:
        """Time from ``before_claim`` to ``after_claim``, on the thread that claims."""
        if point == "before_claim":
            self._began.at = time.perf_counter()
        elif point == "after_claim":
            took = (time.perf_counter() - self._began.at) * 1000
            os.write(self._file, f"{took:.3f}\n".encode())


def hold_nothing(
    connection: Connection,  # noqa: ARG001 - stands in for ``ceilings.hold``
    now: int,  # noqa: ARG001
    needs: Sequence[Need],
) -> list[Hold]:
    """The broken twin of ``ceilings.hold``: everything may go, nothing is held or booked."""
    return [Hold(()) for _ in needs]


if os.environ.get("BENCH_HOLD") == "off":
    books.hold = hold_nothing  # type: ignore[assignment]

worker = TierWorker(
    app,
    Tier(os.environ["BENCH_TIER"]),
    checkpoint=ClaimTimes(Path(os.environ["BENCH_CLAIMS"]) / f"{os.getpid()}.txt"),
)

__all__ = ["app", "worker"]
