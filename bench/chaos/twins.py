"""Deliberately broken workers: each has one guard taken out, to show that the checker sees it.

A twin is made by patching its own process before the worker is built. The product has no switch.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import update

from tierqueue.ledger.ceilings import books
from tierqueue.ledger.in_force import conditions
from tierqueue.ledger.lifecycle import settlements
from tierqueue.ledger.tables import items
from tierqueue.workers import verdicts
from tierqueue.workers.maintenance.expiry import Expiry
from tierqueue.workers.maintenance.resend import Sweep


def without_fence() -> None:
    """A settle that ignores fences: whoever comes last is believed."""
    real = settlements.settle

    def settle(connection: Any, ready: settlements.Ready) -> Any:
        for settlement in ready.settlements:
            connection.execute(
                update(items)
                .where(items.c.id == settlement.item_id)
                .values(state="running", fence=settlement.fence)
            )
        return real(connection, ready)

    setattr(settlements, "settle", settle)  # noqa: B010 - a patch, and meant as one


def without_tick() -> None:
    """A routing stage that never looks for what was lost: it stays lost."""

    def nothing(_: object) -> None:
        return

    setattr(Sweep, "__call__", nothing)  # noqa: B010 - a patch, and meant as one
    setattr(Expiry, "look", nothing)  # noqa: B010 - a patch, and meant as one


def without_hold() -> None:
    """A claim that holds nothing and asks no ceiling."""

    def hold(_connection: Any, _now: int, needs: Sequence[Any], **_: Any) -> list[Any]:
        return [books.Held(()) for _ in needs]

    setattr(books, "hold", hold)  # noqa: B010 - a patch, and meant as one


def without_conditions() -> None:
    """Every fault is the item's own call, and no deployment is ever held back."""

    def own(*_: object) -> bool:
        return True

    def nothing_known(_: object) -> dict[str, Any]:
        return {}

    def noted(*_: object) -> list[Any]:
        return []

    setattr(verdicts, "its_own", own)  # noqa: B010 - a patch, and meant as one
    setattr(conditions, "by_deployment", nothing_known)  # noqa: B010 - a patch, and meant as one
    setattr(conditions, "note", noted)  # noqa: B010 - a patch, and meant as one


TWINS: Mapping[str, Callable[[], None]] = {
    "fence": without_fence,
    "tick": without_tick,
    "hold": without_hold,
    "conditions": without_conditions,
}
