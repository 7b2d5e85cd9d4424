"""Spending in groups: items, tokens and nano-dollars of the calls begun in a time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Double, Integer, and_, case, cast, func, literal, not_, select

from tierqueue.ledger.lifecycle.settlements import BOOKED
from tierqueue.ledger.results.simulated import of_call
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import attempts, items
from tierqueue.router.outcome import INPUT_CLASSES, TOKEN_CLASSES, Usage
from tierqueue.router.policy.duration import DAY_US
from tierqueue.router.policy.lanes import Lane

_EPOCH = date(1970, 1, 1).toordinal()

_KEYS: dict[str, ColumnElement[Any]] = {
    "task": items.c.task,
    "tier": attempts.c.tier,
    "deployment": attempts.c.deployment,
    "budget": items.c.budget,
    "job": items.c.job_id,
    "purpose": case(
        (items.c.purpose.is_not(None), items.c.purpose),
        (items.c.pinned.is_not(None), "evaluation"),
        else_="work",
    ),
    "day": cast(attempts.c.started_at // DAY_US, Integer),
}
DIMENSIONS = tuple(_KEYS)
"""What spending can be grouped by; a day is UTC's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendingQuery:
    """Which calls are meant: begun at or after ``since`` (epoch microseconds), of ``job``.

    ``simulated``: deployments that are, for calls whose reply did not come to say so.
    """

    since: int | None = None
    job: str | None = None
    simulated: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSpending:
    """The calls of one group; money in nano-dollars. Simulated money stands apart from real.

    ``items``: that a call was made for; ``degraded``: of these, that a fallback was used for;
    ``unknown``: what is booked, within ``cost``, for replies that were lost; ``overage``: what
    bills came to above their bounds; ``held``: for calls that still run.
    """

    key: str
    simulated: bool
    items: int
    accepted: int
    calls: int
    input_tokens: int
    output_tokens: int
    cost: int
    unknown: int
    unknown_calls: int
    overage: int
    held: int
    degraded: int

    @property
    def per_accepted(self) -> int | None:
        """Nano-dollars for each accepted item, whatever was spent on the others."""
        return -(-self.cost // self.accepted) if self.accepted else None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageCount:
    """``calls`` calls of one group and deployment with one and the same usage."""

    key: str
    simulated: bool
    deployment: str
    usage: Usage
    calls: int


def spending(connection: Transaction, by: str, asked: SpendingQuery) -> list[GroupSpending]:
    """What was spent, by one of ``DIMENSIONS``, in the order of the keys."""
    key, simulated = _KEYS[by], of_call(asked.simulated)
    accepted = attempts.c.outcome == "accepted"
    unknown = attempts.c.outcome.in_(BOOKED)
    fallen = case((items.c.degraded.is_not(None), items.c.id))
    rows = connection.execute(
        select(
            key,
            simulated,
            func.count(attempts.c.item_id.distinct()),
            func.count().filter(accepted),
            func.count(),
            sum((_sum(_tokens(name)) for name in INPUT_CLASSES), literal(0)),
            _sum(_tokens("output_tokens")),
            _sum(attempts.c.cost),
            _sum(case((unknown, attempts.c.cost))),
            func.count().filter(unknown),
            _sum(attempts.c.detail["overage"].as_string().cast(_BIG)),
            _sum(case((attempts.c.ended_at.is_(None), attempts.c.held))),
            func.count(fallen.distinct()),
        )
        .join(items, items.c.id == attempts.c.item_id)
        .where(*_conditions(asked))
        .group_by(key, simulated)
        .order_by(key, simulated)
    )
    return [
        GroupSpending(
            key=_named(by, row[0]),
            simulated=bool(row[1]),
            items=row[2],
            accepted=row[3],
            calls=row[4],
            input_tokens=int(row[5]),
            output_tokens=int(row[6]),
            cost=int(row[7]),
            unknown=int(row[8]),
            unknown_calls=row[9],
            overage=int(row[10]),
            held=int(row[11]),
            degraded=row[12],
        )
        for row in rows
    ]


def usages(
    connection: Transaction, by: str, asked: SpendingQuery, *, accepted: bool = True
) -> Iterator[UsageCount]:
    """The usage of every accepted call, or of every one that was counted; equal ones together."""
    key, simulated = _KEYS[by], of_call(asked.simulated)
    counts = [func.coalesce(_tokens(name), 0) for name in TOKEN_CLASSES]
    columns = (key, simulated, attempts.c.deployment, *counts)
    rows = connection.execute(
        select(*columns, func.count())
        .join(items, items.c.id == attempts.c.item_id)
        .where(*_conditions(asked), attempts.c.usage.is_not(None))
        .where(*([attempts.c.outcome == "accepted"] if accepted else []))
        .group_by(*columns)
    )
    for row in rows:
        tokens = dict(zip(TOKEN_CLASSES, row[3:-1], strict=True))
        yield UsageCount(
            key=_named(by, row[0]),
            simulated=bool(row[1]),
            deployment=row[2],
            usage=Usage(**tokens),
            calls=row[-1],
        )


@dataclass(frozen=True, slots=True)
class Costs:
    """What calls cost: nano-dollars, and the sum of the squares of what each item cost."""

    cost: int
    squares: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CallHistory:
    """What one deployment's calls for one task type were like, those that have ended.

    ``items``: for how many items it was called at all; ``accepted`` and ``rejected``: answers;
    ``cost``: of all these calls, in nano-dollars; ``squares``: the sum of the squares of what each
    item cost here; ``lanes``: of both the part of each lane that was used; ``seconds`` and
    ``tokens``: the mean of the answered ones, ``seconds`` of live calls, ``None`` where none was
    timed; ``output``: the tokens of output among those.
    """

    items: int
    accepted: int
    rejected: int
    cost: int
    squares: float
    seconds: float | None
    tokens: float
    output: float = 0.0
    lanes: Mapping[Lane, Costs] = field(default_factory=dict)


_BY_FLEX = func.coalesce(attempts.c.usage["service_tier"].as_string(), "") == Lane.FLEX.value
_IN_LANE: dict[Lane, ColumnElement[bool]] = {
    Lane.LIVE: and_(attempts.c.batch.is_(None), not_(_BY_FLEX)),
    Lane.BATCH: attempts.c.batch.is_not(None),
    Lane.FLEX: and_(attempts.c.batch.is_(None), _BY_FLEX),
}


def past(
    connection: Transaction, task: str, asked: SpendingQuery
) -> dict[tuple[str, bool], CallHistory]:
    """The past of a task type, by deployment and whether its answers were simulated."""
    simulated, answered = of_call(asked.simulated), attempts.c.outcome.in_(("accepted", "rejected"))
    tokens = sum((_tokens(name) for name in (*INPUT_CLASSES, "output_tokens")), literal(0))
    timed = and_(answered, _IN_LANE[Lane.LIVE])
    costs = (
        select(
            attempts.c.deployment.label("deployment"),
            simulated.label("simulated"),
            func.count().filter(attempts.c.outcome == "accepted").label("accepted"),
            func.count().filter(attempts.c.outcome == "rejected").label("rejected"),
            cast(_sum(attempts.c.cost), Double).label("cost"),
            _sum(case((timed, attempts.c.seconds))).label("seconds"),
            func.count(attempts.c.seconds).filter(timed).label("timed"),
            _sum(case((answered, tokens))).label("tokens"),
            _sum(case((answered, _tokens("output_tokens")))).label("output"),
            func.count(attempts.c.usage).filter(answered).label("counted"),
            *(
                cast(func.sum(case((within, attempts.c.cost))), Double).label(lane.value)
                for lane, within in _IN_LANE.items()
            ),
        )
        .join(items, items.c.id == attempts.c.item_id)
        .where(*_conditions(asked), items.c.task == task, attempts.c.ended_at.is_not(None))
        .group_by(attempts.c.deployment, simulated, attempts.c.item_id)
        .subquery()
    )
    rows = connection.execute(
        select(
            costs.c.deployment,
            costs.c.simulated,
            func.count().label("items"),
            func.sum(costs.c.accepted).label("accepted"),
            func.sum(costs.c.rejected).label("rejected"),
            func.sum(costs.c.cost).label("cost"),
            func.sum(costs.c.cost * costs.c.cost).label("squares"),
            func.sum(costs.c.seconds).label("seconds"),
            func.sum(costs.c.timed).label("timed"),
            func.sum(costs.c.tokens).label("tokens"),
            func.sum(costs.c.output).label("output"),
            func.sum(costs.c.counted).label("counted"),
            *(func.sum(costs.c[lane.value]).label(f"{lane}_cost") for lane in Lane),
            *(
                func.sum(costs.c[lane.value] * costs.c[lane.value]).label(f"{lane}_squares")
                for lane in Lane
            ),
        ).group_by(costs.c.deployment, costs.c.simulated)
    )
    return {
        (row.deployment, bool(row.simulated)): CallHistory(
            items=row.items,
            accepted=int(row.accepted),
            rejected=int(row.rejected),
            cost=round(row.cost),
            squares=float(row.squares),
            seconds=float(row.seconds) / int(row.timed) if row.timed else None,
            tokens=float(row.tokens) / int(row.counted) if row.counted else 0.0,
            output=float(row.output) / int(row.counted) if row.counted else 0.0,
            lanes={
                lane: Costs(round(cost), float(getattr(row, f"{lane}_squares")))
                for lane in Lane
                if (cost := getattr(row, f"{lane}_cost")) is not None
            },
        )
        for row in rows
    }


def first_item(connection: Transaction) -> int | None:
    """When the ledger's first item was submitted, in epoch microseconds; ``None``: there is none.

    Before it no engine can have idled.
    """
    first: int | None = connection.execute(select(func.min(items.c.submitted_at))).scalar()
    return first


def first_call(connection: Transaction, asked: SpendingQuery) -> int | None:
    """When the first of these calls began, in epoch microseconds; ``None`` where there is none."""
    found = (
        select(func.min(attempts.c.started_at))
        .join(items, items.c.id == attempts.c.item_id)
        .where(*_conditions(asked))
    )
    first: int | None = connection.execute(found).scalar()
    return first


def _conditions(asked: SpendingQuery) -> Sequence[ColumnElement[bool]]:
    meant = []
    if asked.since is not None:
        meant.append(attempts.c.started_at >= asked.since)
    if asked.job is not None:
        meant.append(items.c.job_id == asked.job)
    return meant


_BIG = attempts.c.cost.type


def _tokens(name: str) -> ColumnElement[Any]:
    found: ColumnElement[Any] = attempts.c.usage[name].as_string().cast(Integer)
    return found


def _sum(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.coalesce(func.sum(column), 0)


def _named(by: str, key: Any) -> str:
    if key is None:
        return "(none)"
    if by != "day":
        return str(key)
    return date.fromordinal(_EPOCH + int(key)).isoformat()
