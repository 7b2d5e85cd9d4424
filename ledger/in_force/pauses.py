"""Pauses: a tier, a task type, a budget or a job whose items stay in the ledger until resumed.

What is paused is routed as ever and not sent to a tier's queue; what runs ends by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Subquery,
    bindparam,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from tierqueue.ledger import audit_log
from tierqueue.ledger.bulk import among, upsert
from tierqueue.ledger.literals import is_in
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import items, jobs, pauses
from tierqueue.router.errors import InvalidItem
from tierqueue.router.item import TIERS, given_name, shown
from tierqueue.router.lifecycle import BUDGET_LIMITS, State
from tierqueue.router.policy.duration import MINUTE_US
from tierqueue.router.policy.policy_errors import there_is_no

KINDS = ("tier", "task", "budget", "job")
"""What can be paused."""

_COLUMNS = {"tier": "tier", "task": "task", "budget": "budget", "job": "job_id"}

_IN_FORCE = select(pauses).order_by(pauses.c.kind, pauses.c.name)
ANY = select(pauses.c.kind).exists()
"""Whether anything is paused."""


@dataclass(frozen=True, slots=True)
class Pause:
    """One pause; ``at`` in epoch microseconds."""

    kind: str
    name: str
    at: int
    by: str


def pause(
    connection: Transaction, kind: str, name: str, by: str, reason: str | None = None
) -> bool:
    """Hold these items back; returns whether they were not paused before.

    Items queued and not yet claimed come back to ``routed`` in the same transaction; running ones
    end by themselves. A ``reason`` is written down also where they were paused. Raises
    ``InvalidItem`` for a tier or a job that is not there, or no name.
    """
    _refuse_unknown(connection, kind, name)
    at = database_now(connection)
    stated = upsert(connection, pauses).values(kind=kind, name=name, at=at, by=by)
    new = connection.execute(stated.on_conflict_do_nothing()).rowcount > 0
    pull_back(connection, [Pause(kind, name, at, by)])
    if new or reason is not None:
        detail = {"kind": kind, "name": name}
        audit_log.note(connection, by=by, what="pause", detail=detail, reason=reason)
    return new


def resume(
    connection: Transaction, kind: str, name: str, by: str, reason: str | None = None
) -> bool:
    """Let these items go on; returns whether they were paused.

    Raises ``InvalidItem`` for what can be no name.
    """
    given_name(kind, name)
    gone = delete(pauses).where(pauses.c.kind == kind, pauses.c.name == name)
    found = connection.execute(gone).rowcount > 0
    if found:
        detail = {"kind": kind, "name": name}
        audit_log.note(connection, by=by, what="resume", detail=detail, reason=reason)
    return found


def in_force(connection: Transaction) -> list[Pause]:
    """Every pause in force, by kind and name."""
    return [Pause(row.kind, row.name, row.at, row.by) for row in connection.execute(_IN_FORCE)]


def reasons(connection: Transaction) -> dict[tuple[str, str], str]:
    """Why what is paused was, by kind and name, as far as anybody said and not long ago."""
    found: dict[tuple[str, str], str] = {}
    for action in reversed(audit_log.newest_of(connection, "pause")):
        found[action.detail["kind"], action.detail["name"]] = action.detail.get("reason", "")
    return {
        (stands.kind, stands.name): why
        for stands in in_force(connection)
        if (why := found.get((stands.kind, stands.name)))
    }


LONGEST_US = MINUTE_US
"""Microseconds that an item waits at most for a limit before it is asked for again."""

SOONEST = 512
"""Waiting items of which it is asked each time for whom they wait: the next to be ready."""

_WAITING = select(items.c.budget, items.c.reason, items.c.ready_at).where(
    is_in(State.WAITING),
    items.c.ready_at.between(bindparam("now"), bindparam("soon")),
)


def _of_budgets(waiting: Subquery) -> Select[str, int]:
    """Each budget with the last moment at which one of its items is ready."""
    return (
        select(waiting.c.budget, func.max(waiting.c.ready_at))
        .where(waiting.c.reason.in_(sorted(BUDGET_LIMITS)), waiting.c.budget.is_not(None))
        .group_by(waiting.c.budget)
    )


_ALL = _of_budgets(_WAITING.subquery())
_FIRST = _of_budgets(_WAITING.order_by(items.c.ready_at).limit(bindparam("most")).subquery())


class RateLimitedBudgets:
    """The budgets of which items wait for the budget's own limits, as if they were paused: what
    else they have would wait with them, in others' places.
    """

    def __init__(self) -> None:
        self._until: dict[str, int] = {}

    def ask(self, connection: Transaction, now: int, *, wholly: bool) -> list[Pause]:
        """Those of ``now`` (epoch microseconds), by name.

        ``wholly`` reads all that waits; otherwise only the ``SOONEST``, and what was known before
        goes on until its items are ready.
        """
        within = {"now": now, "soon": now + LONGEST_US}
        if wholly:
            rows, known = connection.execute(_ALL, within), {}
        else:
            rows = connection.execute(_FIRST, {**within, "most": SOONEST})
            known = {name: until for name, until in self._until.items() if until >= now}
        for name, until in rows:
            known[name] = max(until, known.get(name, until))
        self._until = known
        return [Pause("budget", name, now, "") for name in sorted(known)]


def free(
    paused: Sequence[Pause],
    columns: ReadOnlyColumnCollection[str, ColumnElement[Any]] = items.c,
) -> list[ColumnElement[bool]]:
    """Conditions under which an item, or a row with its ``columns``, is held back by none."""
    return [
        or_(columns[_COLUMNS[kind]].is_(None), columns[_COLUMNS[kind]].not_in(names))
        for kind, names in _by_kind(paused).items()
    ]


def holds(paused: Sequence[Pause], names: Mapping[str, str | None]) -> bool:
    """Whether what bears these names, by the kind of pause they fall under, is held back."""
    return any(names.get(pause.kind) == pause.name for pause in paused)


def pull_back(connection: Transaction, paused: Sequence[Pause]) -> int:
    """Bring paused items that no worker has claimed back to ``routed``; returns how many.

    A worker that holds their slice finds them gone and leaves them.
    """
    if not paused:
        return 0
    held = or_(*(items.c[_COLUMNS[kind]].in_(names) for kind, names in _by_kind(paused).items()))
    # In no order: whoever skips locked rows waits for nobody, and the few queued rows are found by
    # their own small index, not along all ids.
    queued = is_in(State.QUEUED)
    found = select(items.c.id).where(queued, held).with_for_update(skip_locked=True)
    ids = sorted(connection.execute(found).scalars())
    if ids:
        back = update(items).where(among(items.c.id), items.c.state == State.QUEUED.value)
        connection.execute(back.values(state=State.ROUTED.value), {"ids": ids})
    return len(ids)


def _by_kind(paused: Sequence[Pause]) -> dict[str, list[str]]:
    named: dict[str, list[str]] = {}
    for pause in paused:
        named.setdefault(pause.kind, []).append(pause.name)
    return named


def _refuse_unknown(connection: Transaction, kind: str, name: str) -> None:
    if kind not in KINDS:
        raise InvalidItem(f"{kind!r} cannot be paused: there are {', '.join(KINDS)}")
    given_name(kind, name)
    if kind == "tier" and name not in set(TIERS):
        raise InvalidItem(there_is_no("tier", name, TIERS))
    if kind == "job" and not connection.execute(select(jobs.c.id).where(jobs.c.id == name)).first():
        raise InvalidItem(f"there is no job {shown(name)!r}")
