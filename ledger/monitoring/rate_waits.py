"""Waits for the rates of deployments, and the items ahead of them, counted up to a bound."""

from collections.abc import Collection

from sqlalchemy import Connection, bindparam, func, select, union_all

from tierqueue.ledger.literals import is_in
from tierqueue.ledger.tables import items
from tierqueue.router.lifecycle import DEPLOYMENT_RATES, State
from tierqueue.router.policy.duration import MINUTE_US

LONGEST_US = MINUTE_US
"""Microseconds that an item waits at most for a rate before it is asked for again."""

COUNTED = 2048
"""Most waiting items that are looked at: the next to be ready."""

MOST_AHEAD = 100_000
"""Most items that are counted to be called before another."""

_NEXT = (
    select(items.c.deployment, items.c.reason)
    .where(is_in(State.WAITING), items.c.ready_at.between(bindparam("now"), bindparam("soon")))
    .order_by(items.c.ready_at)
    .limit(COUNTED)
    .subquery()
)
_WAITING = (
    select(_NEXT.c.deployment, func.count().label("waiting"))
    .where(_NEXT.c.reason.in_(sorted(DEPLOYMENT_RATES)), _NEXT.c.deployment.is_not(None))
    .group_by(_NEXT.c.deployment)
)


def by_deployment(connection: Connection, now: int) -> dict[str, int]:
    """How many items wait for each deployment's rate, or its account's, ``now`` (epoch µs)."""
    found = connection.execute(_WAITING, {"now": now, "soon": now + LONGEST_US})
    return {row.deployment: row.waiting for row in found}


def ahead(connection: Connection, deployments: Collection[str], budget: str | None) -> int:
    """How many items are to be called yet at these deployments, of ``budget`` where one is named,
    that no worker has claimed; of more than ``MOST_AHEAD``, that many.
    """
    states = (State.ROUTED, State.QUEUED, State.WAITING)
    whose = [] if budget is None else [items.c.budget == budget]
    each = [
        select(items.c.id).where(
            is_in(state),
            items.c.deployment.in_(sorted(deployments)),
            *whose,
        )
        for state in states
    ]
    found = union_all(*each).limit(MOST_AHEAD).subquery()
    return int(connection.execute(select(func.count()).select_from(found)).scalar_one())
