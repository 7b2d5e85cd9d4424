"""Replay: dead letters are submitted again, and their producers are owed an answer anew."""

from collections.abc import Sequence

import structlog

from tierqueue.ledger.operations import dead_letters
from tierqueue.ledger.results import promises
from tierqueue.ledger.results.promises import Promise
from tierqueue.router.item import Tier
from tierqueue.tasks.app import TierqueueApp
from tierqueue.tasks.broker import memory
from tierqueue.tasks.results.signatures import ids_in

_log = structlog.get_logger(__name__)


def replay(
    app: TierqueueApp,
    item_ids: Sequence[str],
    by: str,
    *,
    floor: Tier | None = None,
    max_cost: int | None = None,
    chosen_by: dead_letters.DeadLetterQuery | None = None,
) -> list[str]:
    """``dead_letters.replay``, and then what everybody was told of their death is taken back."""
    with app.installation.ledger.write() as connection:
        back = dead_letters.replay(
            connection, item_ids, by, floor=floor, max_cost=max_cost, chosen_by=chosen_by
        )
    take_back(app, back)
    return back


def take_back(app: TierqueueApp, item_ids: Sequence[str]) -> None:
    """Whoever asks after these replayed items is told that they are under way, and Flower too.

    Raises nothing: what the broker goes on remembering is overwritten when the items end, and
    producers who reach the ledger read the truth there meanwhile.
    """
    with app.installation.ledger.read() as connection:
        owed = promises.unfulfilled(connection, item_ids)
    try:
        forget_failures(app, owed)
    except Exception as error:  # noqa: BLE001 - the broker is away
        _log.warning("failures_not_taken_back", count=len(owed), error=type(error).__name__)
    app.installation.item_events.retried([promise.id for promise in owed], "replayed")
    app.installation.wakes.call()


def forget_failures(app: TierqueueApp, owed: Sequence[Promise]) -> None:
    """Delete the failures that the broker remembers of these promises and of what follows them.

    Celery failed a chain's later steps and a chord's body too. Raises the broker's own error.
    """
    ids = {promise.id for promise in owed}
    for promise in owed:
        ids.update(ids_in(promise.chain), ids_in(promise.chord))
    memory.forget_results(app.backend, sorted(ids))
