"""Delivery: what is owed when items end, told to their producers once the end is committed."""

from collections.abc import Callable, Sequence

import structlog

from tierqueue.ledger import promises
from tierqueue.ledger.promises import Ending, Promise
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.tasks.events import ItemEvents

_log = structlog.get_logger(__name__)

Owed = tuple[Promise, Ending]
Keep = Callable[[Sequence[Owed]], Sequence[str]]
"""Makes promises come true and returns the ids of those kept; raises nothing."""


class Delivery:
    """Keeps the promises of ended items and writes down which were kept.

    Never called inside a transaction: keeping a promise may submit the next item of a chain. What
    is not kept here stays owed, and a routing stage's tick tries again.
    """

    def __init__(self, ledger: Ledger, keep: Keep, events: ItemEvents) -> None:
        self._ledger = ledger
        self._keep = keep
        self._events = events

    def ended(self, endings: Sequence[Ending], owed: Sequence[Promise]) -> None:
        """Keep ``owed``, the promises of these endings; says each dead letter in one log line."""
        for each in endings:
            if each.state == "dead":
                reason = (each.error or {}).get("reason")
                _log.error("dead_letter", item=each.item_id, reason=reason)
        by_item = {each.item_id: each for each in endings}
        pairs = [(promise, by_item[promise.item_id]) for promise in owed]
        self._events.ended(pairs)
        self.keep(pairs)

    def keep(self, owed: Sequence[Owed]) -> None:
        """Keep these promises and write down which came true."""
        if not owed:
            return
        kept = self._keep(owed)
        with self._ledger.write() as connection:
            promises.keep(connection, kept, database_now(connection))
