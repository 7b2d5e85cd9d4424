"""Reports: what was done, where, for how much; and whether the books balance."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, Integer, and_, case, func, select, true

from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import attempts, balances, entries, items
from tierqueue.router.item import BelowTier
from tierqueue.router.lifecycle import State
from tierqueue.router.outcome import TOKEN_CLASSES


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportLine:
    """Attempts of one tier, deployment, outcome and truth: how many, tokens, nano-dollars.

    ``outcome`` is ``None`` while the call runs; ``simulated`` is ``None`` where no reply said.
    ``overage`` is the part of ``cost`` that bills came in above what had been held.
    """

    tier: str
    deployment: str
    outcome: str | None
    simulated: bool | None
    attempts: int
    cost: int
    held: int
    overage: int
    tokens: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What became of items: by state, dead letters by reason, those that were answered without a
    call by who answered, and the lines of the others' attempts.
    """

    states: dict[str, int]
    dead: dict[str, int]
    below: dict[str, int] = field(default_factory=dict)
    lines: list[ReportLine] = field(default_factory=list)

    @property
    def cost(self) -> int:
        """What all attempts cost, in nano-dollars."""
        return sum(line.cost for line in self.lines)

    @property
    def overage(self) -> int:
        """What bills came in above their bounds, in nano-dollars; 0 unless a bound is wrong."""
        return sum(line.overage for line in self.lines)

    @property
    def tokens(self) -> int:
        """All input and output tokens; reasoning is part of output."""
        return sum(
            count
            for line in self.lines
            for name, count in line.tokens.items()
            if name != "reasoning_tokens"
        )


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """Two figures of the books, in nano-dollars, that should be equal and are not."""

    what: str
    name: str
    stands: int
    should_be: int


def report(connection: Transaction, *, job: str | None = None, since: int | None = None) -> Report:
    """Items of ``job``, or submitted at or after ``since`` (epoch microseconds), or all."""
    meant: ColumnElement[bool] = true()
    if job is not None:
        meant = meant & (items.c.job_id == job)
    if since is not None:
        meant = meant & (items.c.submitted_at >= since)
    below = case((items.c.tier.in_([who.value for who in BelowTier]), items.c.tier)).label("below")
    keys = (items.c.state, items.c.reason, below)
    counted = connection.execute(select(*keys, func.count()).where(meant).group_by(*keys)).all()
    states: Counter[str] = Counter()
    dead: dict[str, int] = {}
    without: dict[str, int] = {}
    for state, reason, who, count in counted:
        states[state] += count
        if state == State.DEAD:
            dead[reason] = count
        elif who is not None:
            without[who] = count
    return Report(states=dict(states), dead=dead, below=without, lines=_lines(connection, meant))


def _lines(connection: Transaction, meant: ColumnElement[bool]) -> list[ReportLine]:
    keys = (attempts.c.tier, attempts.c.deployment, attempts.c.outcome, attempts.c.simulated)
    tokens = [func.sum(attempts.c.usage[name].as_string().cast(Integer)) for name in TOKEN_CLASSES]
    open_hold = func.sum(attempts.c.held).filter(attempts.c.ended_at.is_(None))
    over = func.sum(attempts.c.cost - attempts.c.held).filter(attempts.c.cost > attempts.c.held)
    rows = connection.execute(
        select(*keys, func.count(), func.sum(attempts.c.cost), open_hold, over, *tokens)
        .join(items, items.c.id == attempts.c.item_id)
        .where(meant)
        .group_by(*keys)
        .order_by(attempts.c.tier, attempts.c.deployment, attempts.c.outcome)
    )
    return [
        ReportLine(
            tier=tier,
            deployment=deployment,
            outcome=outcome,
            simulated=simulated,
            attempts=count,
            cost=int(cost or 0),
            held=int(held or 0),
            overage=int(above or 0),
            tokens={name: int(kind or 0) for name, kind in zip(TOKEN_CLASSES, counts, strict=True)},
        )
        for tier, deployment, outcome, simulated, count, cost, held, above, *counts in rows
    ]


def audit(connection: Transaction) -> list[Discrepancy]:
    """Every figure of the books that differs from the sum it should be; empty if they balance."""
    return [
        *_balances(connection),
        *_attempts(connection),
        *_spent(connection),
        *_held(connection),
    ]


def _balances(connection: Transaction) -> list[Discrepancy]:
    held, spent = (
        func.coalesce(func.sum(entries.c.held), 0),
        func.coalesce(func.sum(entries.c.spent), 0),
    )
    sums = connection.execute(
        select(balances.c.id, balances.c.held, balances.c.spent, held, spent)
        .outerjoin(entries, entries.c.balance_id == balances.c.id)
        .group_by(balances.c.id)
        .order_by(balances.c.id)
    ).all()
    found = [
        Discrepancy(what, name, stands, int(total))
        for name, held_now, spent_now, held_sum, spent_sum in sums
        for what, stands, total in (
            ("balance held", held_now, held_sum),
            ("balance spent", spent_now, spent_sum),
        )
        if stands != total
    ]
    orphans = select(entries.c.balance_id, spent).where(
        entries.c.balance_id.not_in(select(balances.c.id))
    )
    return found + [
        Discrepancy("entries without a balance", name, 0, int(total))
        for name, total in connection.execute(orphans.group_by(entries.c.balance_id))
    ]


def _attempts(connection: Transaction) -> list[Discrepancy]:
    """Each attempt stands in each ceiling with its cost, or with its hold while it is open."""
    hold = (entries.c.item_id, entries.c.fence, entries.c.balance_id)
    booked = (
        select(
            *hold, func.sum(entries.c.held).label("held"), func.sum(entries.c.spent).label("spent")
        )
        .group_by(*hold)
        .subquery()
    )
    held = case((attempts.c.ended_at.is_(None), attempts.c.held), else_=0)
    spent = func.coalesce(attempts.c.cost, 0)
    rows = connection.execute(
        select(*booked.c, held, spent)
        .join(
            attempts,
            (attempts.c.item_id == booked.c.item_id) & (attempts.c.fence == booked.c.fence),
        )
        .where((booked.c.held != held) | (booked.c.spent != spent))
        .order_by(booked.c.item_id, booked.c.fence, booked.c.balance_id)
    )
    return [
        Discrepancy(
            f"attempt in {row[2]}",
            f"{row[0]}:{row[1]}",
            int(row[3] + row[4]),
            int(row[5] + row[6]),
        )
        for row in rows
    ]


def _spent(connection: Transaction) -> list[Discrepancy]:
    total = func.coalesce(func.sum(attempts.c.cost), 0)
    # A document in pieces has no calls of its own: what it has cost, its pieces have.
    is_document = and_(items.c.split.is_not(None), items.c.part_of.is_(None))
    own = case((is_document, 0), else_=items.c.spent)
    return _differing(connection, "item spent", own, total, true())


def _held(connection: Transaction) -> list[Discrepancy]:
    total = func.coalesce(func.sum(attempts.c.held), 0)
    return _differing(connection, "item held", items.c.held, total, attempts.c.ended_at.is_(None))


def _differing(
    connection: Transaction,
    what: str,
    stands: ColumnElement[int],
    total: ColumnElement[int],
    counted: ColumnElement[bool],
) -> list[Discrepancy]:
    rows: Sequence[tuple[str, int, int]] = [
        (row[0], row[1], int(row[2]))
        for row in connection.execute(
            select(items.c.id, stands, total)
            .outerjoin(attempts, (attempts.c.item_id == items.c.id) & counted)
            .group_by(items.c.id)
            .having(stands != total)
            .order_by(items.c.id)
        )
    ]
    return [Discrepancy(what, *row) for row in rows]
