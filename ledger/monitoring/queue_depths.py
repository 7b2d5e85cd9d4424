"""How full each tier's queue is, by the ledger."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    func,
    literal_column,
    select,
    union_all,
)

from tierqueue.ledger.lifecycle.flows import URGENT, USUAL, is_in
from tierqueue.ledger.tables import items
from tierqueue.router.item import TIERS
from tierqueue.router.lifecycle import State

COUNTED = 10_000
"""Most items of a tier that are counted as ahead of another."""

_FILLINGS = union_all(
    *(
        select(
            literal_column(f"'{tier.value}'").label("tier"),
            select(func.count())
            .where(is_in(State.QUEUED), items.c.tier == tier.value)
            .scalar_subquery()
            .label("queued"),
            select(items.c.id)
            .where(is_in(State.ROUTED), items.c.tier == tier.value)
            .exists()
            .label("routed"),
            select(items.c.id)
            .where(is_in(State.ROUTED), items.c.tier == tier.value)
            .where(items.c.flow >= URGENT, items.c.flow < USUAL)
            .exists()
            .label("urgent"),
        )
        for tier in TIERS
    )
)


def _counted(*where: ColumnElement[bool]) -> ColumnElement[int]:
    some = select(items.c.id).where(*where).limit(COUNTED).subquery()
    return select(func.count()).select_from(some).scalar_subquery()


_URGENT = (items.c.flow >= URGENT, items.c.flow < USUAL)

_AHEAD: CompoundSelect[Any] = union_all(
    *(
        select(
            literal_column(f"'{tier.value}'").label("tier"),
            _counted(is_in(state), items.c.tier == tier.value).label("ahead"),
            _counted(is_in(state), items.c.tier == tier.value, *_URGENT).label("urgent"),
        )
        for tier in TIERS
        for state in (State.ROUTED, State.QUEUED)
    )
)


@dataclass(frozen=True, slots=True)
class Filling:
    """A tier's queue: how many items were sent and not yet claimed, whether more are routed, and
    whether somebody waits for one of those.
    """

    queued: int
    routed: bool
    urgent: bool


@dataclass(frozen=True, slots=True)
class Ahead:
    """How many items were routed to a tier and not called yet, and how many of those somebody
    waits for: of either, in either state, at most ``COUNTED``.
    """

    items: int
    urgent: int


def ahead(connection: Connection) -> dict[str, Ahead]:
    """What is ahead of a new item in each tier, by the tier's name."""
    found = {tier.value: Ahead(0, 0) for tier in TIERS}
    for row in connection.execute(_AHEAD):
        before = found[row.tier]
        found[row.tier] = Ahead(before.items + row.ahead, before.urgent + row.urgent)
    return found


def fillings(connection: Connection) -> dict[str, Filling]:
    """Every tier's queue, by the tier's name."""
    return {
        row.tier: Filling(row.queued, bool(row.routed), bool(row.urgent))
        for row in connection.execute(_FILLINGS)
    }
