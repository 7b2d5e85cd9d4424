"""The backlog: ready, waiting and running items, counted up to a bound, so a check stays cheap."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, bindparam, func, select

from tierqueue.ledger.bulk import among
from tierqueue.ledger.ceilings import balance
from tierqueue.ledger.ceilings.balance import Balance
from tierqueue.ledger.in_force import pauses
from tierqueue.ledger.in_force.pauses import Pause
from tierqueue.ledger.literals import is_in
from tierqueue.ledger.records import reason_of
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import attempts, items
from tierqueue.router.item import TIERS
from tierqueue.router.lifecycle import State
from tierqueue.router.policy.duration import SECOND_US

COUNTED = 100_000
"""Most ready items of a tier that are counted; of more it is said that there are more."""

WAITING = 20_000
"""Most waiting items that are counted by their reasons, those due first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What is ready for one tier, neither paused nor claimed.

    ``oldest_seconds``: since when the item that was submitted first is ready. ``more``: there are
    more than were counted.
    """

    ready: int
    oldest_seconds: float
    more: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingItems:
    """Items of one tier and deployment that wait for one reason.

    ``code`` is a ``Wait``, a deployment's ``Trouble`` or the kind of a failed call; ``ceiling`` is
    the balance without headroom for them, where they wait for one. ``tier`` and ``deployment`` are
    ``None`` for what was never routed. ``least`` is the smallest bound among them, in nano-dollars.
    """

    code: str
    ceiling: Balance | None
    tier: str | None
    deployment: str | None
    items: int
    least: int
    oldest_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningCalls:
    """Calls in flight on one deployment, and since when the oldest runs."""

    tier: str
    deployment: str
    calls: int
    oldest_seconds: float


def ready(connection: Transaction, now: int, paused: Sequence[Pause]) -> dict[str, Backlog]:
    """What is ready at ``now`` (epoch µs), by tier; under ``route`` what is not routed yet."""
    stopped = {pause.name for pause in paused if pause.kind == "tier"}
    counted: dict[str, tuple[int, str, bool]] = {}
    for tier in TIERS:
        if tier.value not in stopped:
            first = _first([is_in(State.ROUTED), items.c.tier == bindparam("tier")], paused)
            counted[tier.value] = tuple(connection.execute(first, {"tier": tier.value}).one())
    counted["route"] = tuple(connection.execute(_first([is_in(State.SUBMITTED)], ())).one())
    since = _ready_since(connection, (oldest for _, oldest, _ in counted.values() if oldest))
    found = {
        name: Backlog(
            ready=min(count, COUNTED),
            oldest_seconds=max(0, now - since[oldest]) / SECOND_US,
            more=bool(more),
        )
        for name, (count, oldest, more) in counted.items()
        if count
    }
    for tier_name, count, submitted_at in connection.execute(_QUEUED.where(*pauses.free(paused))):
        # Its ``ready_at`` says when its slice is sent again.
        age = max(0, now - submitted_at) / SECOND_US
        known = found.get(tier_name, Backlog(ready=0, oldest_seconds=age))
        found[tier_name] = Backlog(
            ready=known.ready + count,
            oldest_seconds=max(known.oldest_seconds, age),
            more=known.more,
        )
    return found


def _first(where: Sequence[ColumnElement[bool]], paused: Sequence[Pause]) -> Any:
    """How many of the items that go first are free, the one submitted first, and if more follow.

    Ids are in the order of time; without a pause the index alone answers.
    """
    columns = [items.c.id]
    if any(pause.kind != "tier" for pause in paused):
        columns += [items.c.tier, items.c.task, items.c.budget, items.c.job_id]
    first = (
        select(*columns)
        .where(*where)
        .order_by(items.c.flow, items.c.due, items.c.id)
        .limit(COUNTED + 1)
        .subquery()
    )
    free = pauses.free([pause for pause in paused if pause.kind != "tier"], first.c)
    counted = select(func.count()).select_from(first).scalar_subquery()
    return select(func.count(), func.min(first.c.id), counted > COUNTED).where(*free)


_QUEUED = (
    select(items.c.tier, func.count(), func.min(items.c.submitted_at))
    .where(is_in(State.QUEUED))
    .group_by(items.c.tier)
)
_READY_AT = select(items.c.id, items.c.ready_at, items.c.submitted_at).where(among(items.c.id))


def _ready_since(connection: Transaction, ids: Iterable[str]) -> Mapping[str, int]:
    # Given back by a worker, an item is ready again at once and carries no time.
    rows = connection.execute(_READY_AT, {"ids": list(ids)})
    return {row.id: row.ready_at or row.submitted_at for row in rows}


def waiting(connection: Transaction, now: int) -> list[WaitingItems]:
    """Items that wait at ``now`` (epoch µs), by reason, tier and deployment; of very many those
    that are due first. What was handed over in batches waits for those (``handed_over``).
    """
    columns = ("tier", "deployment", "reason", "ceiling", "bound", "submitted_at")
    due_first = (
        select(*(items.c[name] for name in columns))
        .where(is_in(State.WAITING))
        .order_by(items.c.ready_at)
        .limit(WAITING)
        .subquery()
        .c
    )
    keys = (due_first.reason, due_first.ceiling, due_first.tier, due_first.deployment)
    least = func.coalesce(func.min(due_first.bound), 0)
    figures = (func.count(), least, func.min(due_first.submitted_at))
    rows = connection.execute(select(*keys, *figures).group_by(*keys).order_by(*keys))
    groups: dict[tuple[str, str | None, str | None, str | None], tuple[int, int, int]] = {}
    for reason, ceiling, tier, deployment, count, bound, first in rows:
        key = (*reason_of(reason, ceiling), tier, deployment)
        others, lowest, earliest = groups.get(key, (0, bound, first))
        groups[key] = (others + count, min(lowest, bound), min(earliest, first))
    known = balance.by_id(connection, {full for _, full, _, _ in groups if full is not None})
    return [
        WaitingItems(
            code=code,
            ceiling=known.get(full or ""),
            tier=tier,
            deployment=deployment,
            items=count,
            least=bound,
            oldest_seconds=max(0, now - first) / SECOND_US,
        )
        for (code, full, tier, deployment), (count, bound, first) in groups.items()
    ] + _handed_over(connection, now)


def _handed_over(connection: Transaction, now: int) -> list[WaitingItems]:
    keys = (items.c.tier, items.c.deployment)
    figures = (func.count(), func.min(items.c.bound), func.min(items.c.submitted_at))
    found = select(*keys, *figures).where(is_in(State.HANDED_OVER)).group_by(*keys).order_by(*keys)
    return [
        WaitingItems(
            code=State.HANDED_OVER.value,
            ceiling=None,
            tier=tier,
            deployment=deployment,
            items=count,
            least=bound or 0,
            oldest_seconds=max(0, now - first) / SECOND_US,
        )
        for tier, deployment, count, bound, first in connection.execute(found)
    ]


def routed_to(connection: Transaction, deployments: Sequence[str]) -> dict[str, int]:
    """Ready items of these deployments, among those of each tier that go first."""
    if not deployments:
        return {}
    found: Counter[str] = Counter()
    for tier in TIERS:
        first = (
            select(items.c.deployment)
            .where(is_in(State.ROUTED), items.c.tier == tier.value)
            .order_by(items.c.flow, items.c.due, items.c.id)
            .limit(WAITING)
            .subquery()
        )
        counted = select(first.c.deployment, func.count()).group_by(first.c.deployment)
        for deployment, count in connection.execute(counted):
            found[deployment] += count
    return {name: found[name] for name in deployments if found[name]}


def running(connection: Transaction, now: int) -> list[RunningCalls]:
    """Calls in flight by tier and deployment."""
    keys = (attempts.c.tier, attempts.c.deployment)
    rows = connection.execute(
        select(*keys, func.count(), func.min(attempts.c.started_at))
        .where(attempts.c.ended_at.is_(None), attempts.c.batch.is_(None))
        .group_by(*keys)
        .order_by(*keys)
    )
    return [
        RunningCalls(
            tier=tier,
            deployment=deployment,
            calls=count,
            oldest_seconds=max(0, now - started_at) / SECOND_US,
        )
        for tier, deployment, count, started_at in rows
    ]
