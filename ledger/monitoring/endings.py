"""Recent endings of items: what died and why, and what an item cost."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, literal, select

from tierqueue.ledger import audit_log
from tierqueue.ledger.bulk import among
from tierqueue.ledger.ceilings import balance
from tierqueue.ledger.ceilings.balance import Balance
from tierqueue.ledger.literals import is_in
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import items
from tierqueue.router.lifecycle import State

NEWEST = 10_000
"""Most dead letters that are told apart, the newest; of more the oldest are left out."""

ENDED = 100_000
"""Most ended items that are counted, the newest."""

SAMPLE = 500
"""Items that ended last, by which is judged what the next ones will cost."""

ACKNOWLEDGED = "acknowledge dead letters"
"""The action by which somebody says that he has seen what died so far."""

_DEAD = and_(
    is_in(State.DEAD),
    # Nobody waits for a second answer: that there is none is told where both are compared.
    items.c.second_to.is_(None),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deaths:
    """Dead letters of one reason, kind, task and deployment.

    ``kind`` is what ended them within the reason: the last call's failure (``http_500``), ``item``
    for an own ``max_cost``, or empty; ``ceiling`` is the balance that could not cover them.
    ``example`` is the newest one's id; ``last_at`` in epoch µs, ``spent`` in nano-dollars.
    """

    reason: str
    kind: str
    ceiling: Balance | None
    task: str
    deployment: str | None
    items: int
    spent: int
    last_at: int
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Toll:
    """What died after ``since`` (epoch µs), beside how many items ended in all since then."""

    since: int
    deaths: list[Deaths]
    ended: int

    @property
    def dead(self) -> int:
        """How many died."""
        return sum(group.items for group in self.deaths)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuccessCost:
    """What an item that succeeded cost over all its calls (nano-dollars), and where."""

    tier: str
    deployment: str
    budget: str | None
    job: str | None
    spent: int


@dataclass(frozen=True, slots=True)
class ItemCost:
    """Where an item was last, and what it cost so far in nano-dollars, any of it ``simulated``."""

    tier: str | None
    cost: int
    simulated: bool = False


_SPENT = select(items.c.id, items.c.tier, items.c.spent).where(among(items.c.id))


def spent(
    connection: Transaction, item_ids: Sequence[str], simulated: Collection[str] = ()
) -> dict[str, ItemCost]:
    """Of each of these items, by its id; ``simulated``: those that are."""
    rows = connection.execute(_SPENT, {"ids": list(item_ids)})
    return {row.id: ItemCost(row.tier, row.spent, row.id in simulated) for row in rows}


def toll(connection: Transaction, since: int) -> Toll:
    """What died after ``since`` (epoch µs), and after the last acknowledgement."""
    since = max(since, acknowledged_at(connection) or 0)
    return Toll(
        since=since,
        deaths=_deaths(connection, since),
        ended=_ended(connection, since),
    )


def acknowledged_at(connection: Transaction) -> int | None:
    """When somebody last said to have seen what is wrong (epoch µs)."""
    return audit_log.last(connection, ACKNOWLEDGED)


def acknowledge(connection: Transaction, by: str, detail: Mapping[str, Any]) -> None:
    """Somebody has seen what died so far; ``detail`` says what that was."""
    audit_log.note(connection, by=by, what=ACKNOWLEDGED, detail=detail)


def by_reason(connection: Transaction, since: int) -> dict[str, int]:
    """How many died after ``since`` (epoch µs), by reason; of very many the newest."""
    newest = _newest(since, items.c.reason).subquery()
    counted = select(newest.c.reason, func.count()).group_by(newest.c.reason)
    return {row.reason: row[1] for row in connection.execute(counted)}


def lately(connection: Transaction) -> list[SuccessCost]:
    """The items that succeeded among those that ended last."""
    columns = (items.c.tier, items.c.deployment, items.c.budget, items.c.job_id, items.c.spent)
    last = _last_ended(items.c.state, *columns).limit(SAMPLE).subquery()
    rows = connection.execute(select(last).where(last.c.state == State.SUCCEEDED.value))
    return [
        SuccessCost(
            tier=row.tier,
            deployment=row.deployment,
            budget=row.budget,
            job=row.job_id,
            spent=row.spent,
        )
        for row in rows
    ]


def _last_ended(*columns: ColumnElement[Any]) -> Any:
    # The index's own conditions, word for word: it is a partial one.
    ended = select(*columns).where(items.c.ended_at.is_not(None), items.c.erased_at.is_(None))
    return ended.order_by(items.c.ended_at.desc())


def _newest(since: int, *columns: ColumnElement[Any]) -> Any:
    found = select(*columns).where(_DEAD, items.c.ended_at > since)
    return found.order_by(items.c.ended_at.desc()).limit(NEWEST)


def _deaths(connection: Transaction, since: int) -> list[Deaths]:
    fields = items.c.error["fields"]
    last, full = fields["last"]["kind"].as_string(), fields["ceiling"].as_string()
    # An item's own max_cost is a ceiling of its own: one kind, not as many as items.
    own = full == literal("item:").concat(items.c.id)
    kind = func.coalesce(last, case((own, "item")), "").label("kind")
    ceiling = case((own, None), else_=full).label("ceiling")
    shown = (items.c.id, items.c.task, items.c.deployment, items.c.spent, items.c.ended_at)
    newest = _newest(since, items.c.reason, kind, ceiling, *shown).subquery().c
    keys = (newest.reason, newest.kind, newest.ceiling, newest.task, newest.deployment)
    rows = connection.execute(
        select(
            *keys,
            func.count(),
            func.sum(newest.spent),
            func.max(newest.ended_at),
            func.max(newest.id),
        )
        .group_by(*keys)
        .order_by(func.count().desc(), *keys)
    ).all()
    known = balance.by_id(connection, {row.ceiling for row in rows if row.ceiling is not None})
    return [
        Deaths(
            reason=reason,
            kind=what,
            ceiling=known.get(full),
            task=task,
            deployment=deployment,
            items=count,
            spent=int(spent or 0),
            last_at=last_at,
            example=example,
        )
        for reason, what, full, task, deployment, count, spent, last_at, example in rows
    ]


def _ended(connection: Transaction, since: int) -> int:
    ended = _last_ended(items.c.id).where(items.c.ended_at > since).limit(ENDED).subquery()
    return connection.execute(select(func.count()).select_from(ended)).scalar_one()
