"""The depth of each tier's queue, by the ledger."""

from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Select,
    func,
    literal_column,
    select,
    union_all,
)

from tierqueue.ledger.bulk import among
from tierqueue.ledger.in_force import pauses
from tierqueue.ledger.lifecycle import flows
from tierqueue.ledger.lifecycle.flows import URGENT, USUAL
from tierqueue.ledger.literals import is_in, is_of, number
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import items
from tierqueue.router.item import TIERS, Tier
from tierqueue.router.lifecycle import State

COUNTED = 10_000
"""Most items of a tier that are counted as ahead of another."""

_URGENT = (
    items.c.flow >= literal_column(f"'{URGENT}'"),
    items.c.flow < literal_column(f"'{USUAL}'"),
)

_FILLINGS = union_all(
    *(
        select(
            literal_column(f"'{tier.value}'").label("tier"),
            select(func.count())
            .where(is_in(State.QUEUED), is_of(tier))
            .scalar_subquery()
            .label("queued"),
            select(items.c.id).where(is_in(State.ROUTED), is_of(tier)).exists().label("routed"),
            select(items.c.id)
            .where(is_in(State.ROUTED), is_of(tier), *_URGENT)
            .exists()
            .label("urgent"),
        )
        for tier in TIERS
    )
)


def _counted(tier: Tier, state: State, *where: ColumnElement[bool]) -> ColumnElement[int]:
    found = select(items.c.id).where(is_in(state), is_of(tier), *where)
    counted = found.limit(number(COUNTED)).subquery()
    return select(func.count()).select_from(counted).scalar_subquery()


def _ahead(*of_tier: ColumnElement[bool]) -> dict[Tier, Select[int, int, int, int]]:
    return {
        tier: select(
            _counted(tier, State.ROUTED, *of_tier),
            _counted(tier, State.ROUTED, *of_tier, *_URGENT),
            _counted(tier, State.QUEUED),
            _counted(tier, State.QUEUED, *_URGENT),
        )
        for tier in TIERS
    }


_AHEAD = _ahead(among(items.c.flow))
_AHEAD_OF_ALL = _ahead()


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """A tier's queue: how many items were sent and not yet claimed, whether more are routed, and
    whether somebody waits for one of those.
    """

    queued: int
    routed: bool
    urgent: bool


@dataclass(frozen=True, slots=True)
class ItemsAhead:
    """How many items were routed to a tier and not called yet, and how many of those somebody
    waits for: of either, in either state, at most ``COUNTED``.
    """

    items: int
    urgent: int


def ahead(connection: Transaction) -> dict[str, ItemsAhead]:
    """What is ahead of a new item in each tier, by the tier's name.

    What is paused, but for a whole tier, is ahead of nobody, and is not looked through.
    """
    paused = pauses.in_force(connection)
    found: dict[str, ItemsAhead] = {}
    for tier in TIERS:
        having = flows.with_work(connection, tier.value)
        names = [flow.name for flow in having if not pauses.holds(paused, flow.names)]
        if len(names) == len(having) or len(having) == flows.MOST:
            counted = connection.execute(_AHEAD_OF_ALL[tier])
        else:
            counted = connection.execute(_AHEAD[tier], {"ids": names})
        routed, urgent, queued, urgent_queued = counted.one()
        found[tier.value] = ItemsAhead(routed + queued, urgent + urgent_queued)
    return found


def fillings(connection: Transaction) -> dict[str, QueueDepth]:
    """Every tier's queue, by the tier's name."""
    return {
        row.tier: QueueDepth(row.queued, bool(row.routed), bool(row.urgent))
        for row in connection.execute(_FILLINGS)
    }
