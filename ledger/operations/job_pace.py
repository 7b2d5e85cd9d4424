"""How fast a job's own items end, and what they cost, tier by tier."""

from dataclasses import dataclass

from sqlalchemy import Double, case, cast, func, select

from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import attempts, items


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The items of a job in one tier (``None``: not routed yet) that went on to it from another
    (``went_on``), or were asked there first.

    ``ended`` of them, ``recent`` since the moment asked for; ``left`` have not. ``spent`` and
    ``squares`` are sums over the ended, in nano-dollars and their squares; so are ``size`` (bytes
    of their prompts), ``size_squares`` and ``size_spent`` (bytes times nano-dollars).
    ``size_left``: bytes of those that have not. ``first``: when the first one ended, in epoch µs.
    """

    tier: str | None
    went_on: bool
    ended: int
    recent: int
    left: int
    spent: float
    squares: float
    size: float
    size_squares: float
    size_spent: float
    size_left: float
    first: int | None


def began(connection: Transaction, job_id: str) -> int | None:
    """When the first call for one of the job's own items began, in epoch microseconds."""
    of_job = items.c.job_id == job_id
    first = select(func.min(attempts.c.started_at)).join(items, items.c.id == attempts.c.item_id)
    return connection.execute(first.where(of_job)).scalar()


def paces(connection: Transaction, job_id: str, since: int) -> list[Pace]:
    """The job's own items, ``recent`` being those that ended after ``since`` (epoch µs)."""
    is_over, went_on = items.c.ended_at.is_not(None), items.c.refused_by.is_not(None)
    cost, size = cast(items.c.spent, Double), cast(items.c.prompt_bytes, Double)
    found = (
        select(
            items.c.tier,
            went_on.label("went_on"),
            func.sum(case((is_over, 1), else_=0)).label("ended"),
            func.sum(case((items.c.ended_at > since, 1), else_=0)).label("recent"),
            func.sum(case((is_over, 0), else_=1)).label("left"),
            func.sum(case((is_over, cost), else_=0.0)).label("spent"),
            func.sum(case((is_over, cost * cost), else_=0.0)).label("squares"),
            func.sum(case((is_over, size), else_=0.0)).label("size"),
            func.sum(case((is_over, size * size), else_=0.0)).label("size_squares"),
            func.sum(case((is_over, size * cost), else_=0.0)).label("size_spent"),
            func.sum(case((is_over, 0.0), else_=size)).label("size_left"),
            func.min(items.c.ended_at).label("first"),
        )
        .where(items.c.job_id == job_id)
        .group_by(items.c.tier, went_on)
    )
    return [
        Pace(
            tier=row.tier,
            went_on=bool(row.went_on),
            ended=int(row.ended),
            recent=int(row.recent),
            left=int(row.left),
            spent=float(row.spent),
            squares=float(row.squares),
            size=float(row.size),
            size_squares=float(row.size_squares),
            size_spent=float(row.size_spent),
            size_left=float(row.size_left),
            first=row.first,
        )
        for row in connection.execute(found)
    ]
