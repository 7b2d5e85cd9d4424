"""Warnings before a ceiling is reached, and what a ceiling ended: each told once, by whoever
writes it down first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import bindparam, select, update

from tierqueue.ledger.bulk import among, upsert
from tierqueue.ledger.ceilings.books import window_start
from tierqueue.ledger.literals import equals, is_in
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import balances, ceiling_marks, ceiling_warnings, ceilings, items
from tierqueue.router.errors import CostCeilingExceeded
from tierqueue.router.lifecycle import State
from tierqueue.router.money import NanoUSD
from tierqueue.router.policy.duration import HOUR_US, SECOND_US
from tierqueue.router.policy.policy import WarningPolicy

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
    if not (in_force := _in_force(connection, now)):
        return found
    ids = {"ids": [balance.id for balance in in_force]}
    given = {(row.balance_id, row.what, row.limit) for row in connection.execute(_WARNED, ids)}
    marks = {row.balance_id: row for row in connection.execute(_MARKS, ids)}
    for balance in in_force:
        limit = balance.limit
        reached = [
            _warning(balance, str(share))
            for share in sorted(policy.shares)
            if balance.spent >= share * limit and (balance.id, str(share), limit) not in given
        ]
        found.reached.extend(reached)
        found.warnings.extend(reached[-1:])
        if (length := _LENGTHS.get(balance.window)) is None or not policy.burn_rate:
            continue
        mark = marks.get(balance.id)
        since = _begin(balance) if mark is None else mark.at
        span = length * SECOND_US / _SPANS
        even = limit * max(now - since, span) / (length * SECOND_US)
        fast = balance.spent - (0 if mark is None else mark.spent) > policy.burn_rate * even
        if fast and (balance.id, BURN_RATE, limit) not in given:
            warning = _warning(balance, BURN_RATE)
            found.reached.append(warning)
            found.warnings.append(warning)
        if mark is None or now - mark.at >= span:
            found.marks[balance.id] = balance.spent
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


_WARNED = select(ceiling_warnings).where(among(ceiling_warnings.c.balance_id))
_MARKS = select(ceiling_marks).where(among(ceiling_marks.c.balance_id))
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


class _Balance(NamedTuple):
    """What was spent under a ceiling in its present window."""

    id: str
    """The balance's."""
    start: str
    """The name of the window (``window_start``)."""
    window: str
    """How long it is, in a word: ``hour``, ``day``, …"""
    timezone: str
    """Where its days begin."""
    limit: NanoUSD
    """Nano-dollars."""
    spent: NanoUSD
    """Nano-dollars."""
    held: NanoUSD
    """Nano-dollars."""


def _in_force(connection: Transaction, now: int) -> list[_Balance]:
    """Each balance of a present window from which anything was spent, under its ceiling."""
    rules = {
        (rule.scope, rule.name, rule.window): rule for rule in connection.execute(select(ceilings))
    }
    starts = {key: window_start(r.window, r.timezone, now) for key, r in rules.items()}
    if not rules:
        return []
    present = balances.c.start.in_(sorted(set(starts.values())))
    found = []
    for row in connection.execute(select(balances).where(present, balances.c.spent > 0)):
        own, general = ((row.scope, name, row.window) for name in (row.name, "*"))
        key = own if own in rules else general
        if starts.get(key) == row.start:
            rule = rules[key]
            found.append(
                _Balance(
                    id=row.id,
                    start=row.start,
                    window=rule.window,
                    timezone=rule.timezone,
                    limit=rule.limit,
                    spent=row.spent,
                    held=row.held,
                )
            )
    return found


def _warning(balance: _Balance, what: str) -> CeilingWarning:
    return CeilingWarning(
        balance_id=balance.id,
        what=what,
        limit=balance.limit,
        spent=balance.spent,
        held=balance.held,
    )


def _begin(balance: _Balance) -> int:
    """When the balance's window began, in epoch microseconds."""
    if balance.window == "hour":
        at = datetime.strptime(balance.start, "%Y-%m-%dT%HZ").replace(tzinfo=UTC)
    else:
        zone = ZoneInfo(balance.timezone)
        at = datetime.fromisoformat(balance.start).replace(tzinfo=zone)
    return round(at.timestamp() * SECOND_US)
