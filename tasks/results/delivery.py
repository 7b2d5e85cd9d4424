"""Delivery: what is owed when items end, told to their producers once the end is committed."""

from collections.abc import Sequence

import structlog

from tierqueue.ledger.monitoring import endings
from tierqueue.ledger.monitoring.endings import ItemCost
from tierqueue.ledger.results import announcements, promises, simulated
from tierqueue.ledger.results.announcements import Announcement
from tierqueue.ledger.results.promises import Ends
from tierqueue.ledger.session import now as database_now
from tierqueue.router.lifecycle import State
from tierqueue.tasks.app import TierqueueApp
from tierqueue.tasks.results.dead_letter_queue import announce
from tierqueue.tasks.results.fulfil import OwedPromise, fulfil

_log = structlog.get_logger(__name__)


class Delivery:
    """Fulfils the promises of ended items, announces the dead ones, writes down what was done.

    Never called inside a transaction: fulfilling a promise may submit the next item of a chain.
    What is not fulfilled here stays owed, and a routing stage's tick tries again.
    """

    def __init__(self, app: TierqueueApp) -> None:
        self._app = app
        self._ledger = app.installation.ledger

    def ended(self, ends: Ends) -> None:
        """Fulfil what is owed for these ends; says each dead letter in one log line.

        Raises nothing: the end is committed, and whoever committed it has calls to make.
        """
        try:
            self._notify(ends)
        except Exception as error:  # noqa: BLE001 - what is not fulfilled stays owed
            _log.warning("delivery_postponed", error=type(error).__name__)

    def _notify(self, ends: Ends) -> None:
        dead = [ending for ending in ends.ended if ending.state is State.DEAD]
        for letter in dead:
            reason = (letter.error or {}).get("reason")
            _log.error("dead_letter", item=letter.item_id, reason=reason)
        by_item = {ending.item_id: ending for ending in ends.ended}
        pairs = [(promise, by_item[promise.item_id]) for promise in ends.owed]
        ids = [letter.item_id for letter in dead]
        spent: dict[str, ItemCost] = {}
        letters: list[Announcement] = []
        if dead:
            with self._ledger.read() as connection:
                made_up = simulated.of_items(connection, ids, self._app.installation.simulated)
                spent = endings.spent(connection, ids, made_up)
                letters = announcements.of_items(connection, ids)
        self._app.installation.item_events.ended(pairs, spent=spent)
        self.fulfil(pairs)
        self.announce(letters)

    def announce(self, letters: Sequence[Announcement]) -> None:
        """Announce these dead letters and write down which stand at the broker."""
        if letters and (announced := announce(self._app, letters)):
            with self._ledger.write() as connection:
                announcements.done(connection, announced, database_now(connection))

    def fulfil(self, owed: Sequence[OwedPromise]) -> None:
        """Fulfil these promises and write down which came true."""
        if not owed:
            return
        wake = self._app.installation.wakes.call
        came_true = set(fulfil(self._app, self._ledger, wake, owed))
        fulfilled = [promise for promise, _ in owed if promise.id in came_true]
        with self._ledger.write() as connection:
            promises.note_fulfilled(connection, fulfilled, database_now(connection))
