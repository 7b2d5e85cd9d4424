"""How full each tier's queue is, by the ledger."""

from dataclasses import dataclass

from sqlalchemy import Connection, func, literal_column, select, union_all

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


_AHEAD = union_all(
    *(
        select(
            literal_column(f"'{tier.value}'").label("tier"),
            select(func.count())
            .select_from(
                select(items.c.id)
                .where(is_in(state), items.c.tier == tier.value)
                .limit(COUNTED)
                .subquery()
            )
            .scalar_subquery()
            .label("ahead"),
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


def ahead(connection: Connection) -> dict[str, int]:
    """How many items were routed to each tier and not called yet, by the tier's name: in either
    state at most ``COUNTED``.
    """
    found = dict.fromkeys((tier.value for tier in TIERS), 0)
    for row in connection.execute(_AHEAD):
        found[row.tier] += row.ahead
    return found


def fillings(connection: Connection) -> dict[str, Filling]:
    """Every tier's queue, by the tier's name."""
    return {
        row.tier: Filling(row.queued, bool(row.routed), bool(row.urgent))
        for row in connection.execute(_FILLINGS)
    }
