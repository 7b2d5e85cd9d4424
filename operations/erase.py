"""Erasure over ledger and broker: what has not ended is cancelled first, then payloads go."""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tierqueue.ledger.lifecycle import documents, items
from tierqueue.ledger.operations import erasure
from tierqueue.ledger.results import promises
from tierqueue.ledger.session import Ledger
from tierqueue.tasks.app import TierqueueApp
from tierqueue.tasks.broker import memory
from tierqueue.tasks.results.delivery import Delivery

_BATCH = 200
_TICK_SECONDS = 0.5
"""Seconds between two checks whether a running item has ended."""


@dataclass(frozen=True, slots=True)
class ErasureResult:
    """How many items were erased, and the ids of those that still ran.

    ``rewritten``: no file of the ledger holds anything of them any more.
    """

    items: int
    running: list[str]
    rewritten: bool


def erase(
    ledger: Ledger,
    app: TierqueueApp,
    item_ids: Sequence[str],
    *,
    by: str,
    why: str,
    patience_seconds: float,
) -> ErasureResult:
    """Erase items from the ledger and the app's broker; returns what came of it.

    Those that run are waited for as long as ``patience_seconds``. With a document its pieces go
    too. ``why`` is recorded and holds no payload.
    """
    with ledger.read() as connection:
        item_ids = documents.with_parts(connection, item_ids)
    for batch in _batches(item_ids):
        with ledger.write() as connection:
            ends = items.cancel(connection, batch, by)
        # Now: afterwards nothing is left to tell.
        Delivery(app).ended(ends)
    until, pause = time.monotonic() + patience_seconds, threading.Event()
    erased, left = 0, list(item_ids)
    while True:
        for batch in _batches(left):
            with ledger.read() as connection:
                told = promises.ids_of(connection, batch)
            # Before too: whoever is killed after the commit leaves nothing that nobody looks for.
            memory.forget_results(app.backend, told)
            with ledger.write() as connection:
                gone = erasure.erase(connection, batch, by, why)
            erased += len(gone)
            memory.forget_results(app.backend, told)
        with ledger.read() as connection:
            left = erasure.still_going(connection, left)
        if not left or time.monotonic() > until:
            return ErasureResult(erased, left, rewritten=bool(erased) and ledger.rewrite())
        pause.wait(_TICK_SECONDS)


def _batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + _BATCH] for start in range(0, len(ids), _BATCH))
