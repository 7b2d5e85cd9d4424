"""Deliberately broken workers: each has one guard taken out, to show that the checker sees it.

A twin is made by patching its own process before the worker is built. The product has no switch.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from unittest.mock import patch

from sqlalchemy import update

from tierqueue.ledger.ceilings import books
from tierqueue.ledger.in_force import conditions
from tierqueue.ledger.lifecycle import settlements
from tierqueue.ledger.tables import items
from tierqueue.workers import verdicts
from tierqueue.workers.maintenance.expiry import Expiry
from tierqueue.workers.maintenance.resend import Sweep


def _patch(owner: object, name: str, by: object) -> None:
    """For as long as the process lives; raises ``AttributeError`` for a name that is not there."""
    patch.object(owner, name, by).start()


def without_fence() -> None:
    """A settle that ignores fences: whoever comes last is believed."""
    real = settlements.settle

    def settle(connection: Any, ready: settlements.PreparedSettlements) -> Any:
        for settlement in ready.settlements:
            connection.execute(
                update(items)
                .where(items.c.id == settlement.item_id)
                .values(state="running", fence=settlement.fence)
            )
        return real(connection, ready)

    _patch(settlements, "settle", settle)


def without_tick() -> None:
    """A routing stage that never looks for what was lost: it stays lost."""

    def nothing(_: object) -> None:
        return

    _patch(Sweep, "__call__", nothing)
    _patch(Expiry, "tick", nothing)


def without_hold() -> None:
    """A claim that holds nothing and asks no ceiling."""

    def hold(_connection: Any, _now: int, needs: Sequence[Any], **_: Any) -> list[Any]:
        return [books.Hold(()) for _ in needs]

    _patch(books, "hold", hold)


def without_conditions() -> None:
    """Every fault is the item's own call, and no deployment is ever held back."""

    def own(*_: object) -> bool:
        return True

    def nothing_known(_: object) -> dict[str, Any]:
        return {}

    def noted(*_: object) -> list[Any]:
        return []

    _patch(verdicts, "its_own", own)
    _patch(conditions, "by_deployment", nothing_known)
    _patch(conditions, "note", noted)


TWINS: Mapping[str, Callable[[], None]] = {
    "fence": without_fence,
    "tick": without_tick,
    "hold": without_hold,
    "conditions": without_conditions,
}
