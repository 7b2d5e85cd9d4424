"""The calls of a deployment that were made not long ago, for a limiter that forgot them."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, or_, select

from tierqueue.ledger.literals import equals, is_in
from tierqueue.ledger.tables import attempts, items
from tierqueue.router.item import Tier
from tierqueue.router.lifecycle import State
from tierqueue.router.outcome import INPUT_CLASSES


class RecentCall(NamedTuple):
    """A call that was claimed; times in epoch microseconds."""

    started_at: int
    """When it was claimed: it was sent after that."""
    ended_at: int | None
    """When its end was known; ``None``: it may still run."""
    input: int
    """Tokens of input: those it used, or as many as it was held for."""
    output: int
    """The same of output."""


_SINCE = (
    select(
        attempts.c.started_at,
        attempts.c.ended_at,
        attempts.c.outcome,
        attempts.c.usage,
        items.c.token_bound,
        items.c.route,
    )
    .join(items, items.c.id == attempts.c.item_id)
    .where(
        # A batch takes nothing of the limits of live calls, nor does what was refused.
        attempts.c.batch.is_(None),
        attempts.c.outcome.is_distinct_from("throttled"),
        attempts.c.deployment == bindparam("deployment"),
        attempts.c.started_at > bindparam("since"),
    )
)
_AT_APIS = _SINCE.where(~equals(attempts.c.tier, Tier.GPU))
"""What an index serves: the system's own engines make more calls, and have no rates."""
_RUNS = is_in(State.RUNNING)
_EXACT = ("accepted", "rejected")
"""Ends after which nothing but the usage can have been counted."""


def since(connection: Connection, tier: Tier, deployment: str, at: int) -> list[RecentCall]:
    """Every call of a tier's deployment claimed after ``at`` (epoch microseconds)."""
    query = _SINCE if tier is Tier.GPU else _AT_APIS
    return _read(connection.execute(query, {"deployment": deployment, "since": at}))


def all_since(
    connection: Connection, deployments: Mapping[str, Tier], budget: str | None, at: int
) -> list[RecentCall]:
    """Every call of these deployments, or of the items of one ``budget`` at them, claimed after
    ``at`` (epoch microseconds).

    Of calls of the system's own engines those are found whose items have ended since, or run now.
    """
    calls: list[RecentCall] = []
    for name, tier in deployments.items():
        query = _AT_APIS
        if tier is Tier.GPU:
            query = _SINCE.where(or_(_RUNS, items.c.ended_at > bindparam("since")))
        if budget is not None:
            query = query.where(items.c.budget == budget)
        calls += _read(connection.execute(query, {"deployment": name, "since": at}))
    return calls


def _read(found: Iterable[Any]) -> list[RecentCall]:
    calls = []
    for row in found:
        usage, output = row.usage or {}, int((row.route or {}).get("output_tokens", 0))
        bound = (max(0, (row.token_bound or 0) - output), output)
        used = (sum(usage.get(name, 0) for name in INPUT_CLASSES), usage.get("output_tokens", 0))
        known = row.outcome in _EXACT
        calls.append(RecentCall(row.started_at, row.ended_at, *(used if known else bound)))
    return calls
