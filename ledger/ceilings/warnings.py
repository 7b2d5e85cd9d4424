"""Warnings before a ceiling is reached, and what a ceiling ended: each told once, by whoever
writes it down first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import bindparam, select, update

from tierqueue.ledger.bulk import among, upsert
from tierqueue.ledger.ceilings.status import CeilingStatus, ceiling_statuses
from tierqueue.ledger.ceilings.windows import begin_of
from tierqueue.ledger.literals import equals, is_in
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import ceiling_marks, ceiling_warnings, items
from tierqueue.router.errors import CostCeilingExceeded
from tierqueue.router.lifecycle import State
from tierqueue.router.money import NanoUSD
from tierqueue.router.policy.duration import HOUR_US, SECOND_US
from tierqueue.router.policy.tables import WarningPolicy

BURN_RATE = "burn_rate"
"""What a warning is of that is not of a share."""

_LENGTHS = {"hour": 3_600, "day": 86_400, "week": 604_800, "month": 2_592_000}
_SPANS = 24
"""The rate is that of the last so-manieth of the window at least, or the first call would warn."""

_NOTIFIED_FOR_US = HOUR_US
"""Microseconds: what ended longer ago is not notified of, so that a hook that is new is not flooded
with what is old."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CeilingWarning:
    """A balance that spent ``what`` of its limit: a share such as ``0.8``, or ``burn_rate``.

    Money in nano-dollars.
    """

    balance_id: str
    what: str
    limit: int
    spent: int
    held: int


@dataclass(frozen=True, slots=True)
class DueWarnings:
    """What is to be warned of, and the balances whose rate is measured anew from now on."""

    warnings: list[CeilingWarning]
    reached: list[CeilingWarning]
    marks: dict[str, int]


def due(connection: Transaction, policy: WarningPolicy, now: int) -> DueWarnings:
    """What there is to warn of ``now`` (epoch microseconds); writes nothing.

    Of the shares that a balance reached since the last time only the highest is in ``warnings``;
    all are in ``reached``.
    """
    found = DueWarnings([], [], {})
    if not (spent := [status for status in ceiling_statuses(connection, now) if status.spent]):
        return found
    ids = {"ids": [status.balance_id for status in spent]}
    marks = {mark.balance_id: mark for mark in map(_Mark._make, connection.execute(_MARKS, ids))}
    for status in spent:
        limit = status.limit
        reached = [
            _warning(status, str(share))
            for share in sorted(policy.shares)
            if status.spent >= share * limit and str(share) not in status.warnings
        ]
        found.reached.extend(reached)
        found.warnings.extend(reached[-1:])
        if (length := _LENGTHS.get(status.window)) is None or not policy.burn_rate:
            continue
        mark = marks.get(status.balance_id)
        since = begin_of(status.window, status.timezone, status.start) if mark is None else mark.at
        span = length * SECOND_US / _SPANS
        even = limit * max(now - since, span) / (length * SECOND_US)
        fast = status.spent - (0 if mark is None else mark.spent) > policy.burn_rate * even
        if fast and BURN_RATE not in status.warnings:
            warning = _warning(status, BURN_RATE)
            found.reached.append(warning)
            found.warnings.append(warning)
        if mark is None or now - mark.at >= span:
            found.marks[status.balance_id] = status.spent
    return found


def note(connection: Transaction, found: DueWarnings, now: int) -> list[CeilingWarning]:
    """Write down what was found; returns the warnings that nobody else has given meanwhile."""
    new = set()
    for warning in sorted(found.reached, key=lambda warning: (warning.balance_id, warning.what)):
        given = upsert(connection, ceiling_warnings).values(
            balance_id=warning.balance_id,
            what=warning.what,
            limit=warning.limit,
            spent=warning.spent,
            at=now,
        )
        if connection.execute(given.on_conflict_do_nothing()).rowcount:
            new.add((warning.balance_id, warning.what))
    for balance_id, spent in sorted(found.marks.items()):
        mark = upsert(connection, ceiling_marks).values(balance_id=balance_id, spent=spent, at=now)
        changed = {"spent": spent, "at": now}
        connection.execute(mark.on_conflict_do_update(index_elements=["balance_id"], set_=changed))
    return [warning for warning in found.warnings if (warning.balance_id, warning.what) in new]


def not_notified(connection: Transaction, now: int, most: int) -> list[str]:
    """Ids of up to ``most`` dead letters of the last hour that a ceiling ended and no hook heard
    of, the oldest first.
    """
    return list(
        connection.execute(_NOT_NOTIFIED.limit(most), {"since": now - _NOTIFIED_FOR_US}).scalars()
    )


class CeilingDeath(NamedTuple):
    """A dead letter that a ceiling ended."""

    id: str
    """The item's."""
    task: str
    """The name of its task type."""
    budget: str | None
    """Who pays."""
    job_id: str | None
    """The file that it came in."""
    error: Mapping[str, Any] | None
    """What ended it."""


class _Mark(NamedTuple):
    """From when on, and from which sum, the rate of a balance is measured."""

    balance_id: str
    """Of which balance."""
    spent: NanoUSD
    """Nano-dollars that it had spent by then."""
    at: int
    """Epoch microseconds."""


_DEATH = tuple(items.c[name] for name in CeilingDeath._fields)


def take(connection: Transaction, item_ids: Sequence[str], now: int) -> list[CeilingDeath]:
    """Take these for the hook; returns those that nobody else has taken."""
    asked = (
        select(*_DEATH)
        .where(among(items.c.id), *_DEAD)
        .order_by(items.c.id)
        .with_for_update(skip_locked=True)
    )
    rows = connection.execute(asked, {"ids": list(item_ids)})
    found = [CeilingDeath._make(row) for row in rows]
    taken = update(items).where(among(items.c.id)).values(hooked_at=now)
    connection.execute(taken, {"ids": [death.id for death in found]})
    return found


_MARKS = select(*(ceiling_marks.c[name] for name in _Mark._fields)).where(
    among(ceiling_marks.c.balance_id)
)
_DEAD = (
    is_in(State.DEAD),
    equals(items.c.reason, CostCeilingExceeded.reason),
    items.c.hooked_at.is_(None),
)
_NOT_NOTIFIED = (
    select(items.c.id)
    .where(*_DEAD, items.c.ended_at > bindparam("since"))
    .order_by(items.c.ended_at)
)


def _warning(status: CeilingStatus, what: str) -> CeilingWarning:
    return CeilingWarning(
        balance_id=status.balance_id,
        what=what,
        limit=status.limit,
        spent=status.spent,
        held=status.held,
    )
