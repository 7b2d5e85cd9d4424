"""Conditions: what is known of each deployment, the same for every process, also after a restart.

``by_deployment`` gives records (``router.condition.Condition``): whoever routes, claims, alarms or
shows reads the same truth. It changes in the transaction that settles what it follows from. While
a deployment serves, nothing is written but, now and then, when it last did.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from sqlalchemy import func, or_, select, tuple_, update

from tierqueue.ledger.bulk import upsert
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import attempts, conditions, items
from tierqueue.router.condition import Condition, Fault, ServedCall, after
from tierqueue.router.lifecycle import State

Events = Mapping[str, Sequence[ServedCall | Fault]]
"""What happened at each deployment, in its order."""


@dataclass(frozen=True, slots=True)
class Change:
    """A deployment's condition before and after."""

    before: Condition
    now: Condition


_NAMES = tuple(field.name for field in fields(Condition))
_CONDITION = tuple(conditions.c[name] for name in _NAMES)


ANY = (
    select(conditions.c.deployment)
    .where(
        or_(
            conditions.c.code.is_not(None),
            conditions.c.until.is_not(None),
            conditions.c.probe.is_not(None),
        )
    )
    .exists()
)
"""Whether anything is known against any deployment."""


def by_deployment(connection: Transaction) -> dict[str, Condition]:
    """Every deployment's condition that was ever other than clear, by its name."""
    found = [_condition(row) for row in connection.execute(select(*_CONDITION))]
    return {condition.deployment: condition for condition in found}


def served_at(connection: Transaction, deployment: str) -> int | None:
    """When the deployment last served anybody, in epoch microseconds, give or take a second."""
    wanted = select(conditions.c.served_at).where(conditions.c.deployment == deployment)
    return connection.execute(wanted).scalar()


def note(connection: Transaction, events: Events) -> list[Change]:
    """Write down what happened; returns how each condition changed.

    Rows are locked in the order of their names, after those of items and balances.
    """
    changes: list[Change] = []
    for name in sorted(events):
        before = _locked(connection, name)
        now = before
        for event in events[name]:
            now = after(now, event)
        _write(connection, before, now)
        changes.append(Change(before, now))
    return changes


def put_on_trial(connection: Transaction, deployment: str, item: str, now: int, until: int) -> bool:
    """Let one item call although the deployment is held back; given up ``until`` (epoch µs).

    False where it need not be tried any more: another process was first, or it serves.
    """
    before = _locked(connection, deployment)
    if not before.wants_probe(now):
        return False
    _write(connection, before, replace(before, probe=item, probe_until=until))
    return True


def end_trial(connection: Transaction, deployment: str, item: str, again_at: int) -> None:
    """The item on trial was not called after all; another may be from ``again_at`` (epoch µs)."""
    connection.execute(
        update(conditions)
        .where(conditions.c.deployment == deployment, conditions.c.probe == item)
        .values(probe=None, probe_until=None, until=again_at)
    )


def note_notified(connection: Transaction, deployment: str, told_at: int | None) -> bool:
    """Note that somebody is notified of it, or of its end; false where another was first."""
    found = conditions.c.told_at.is_not(None) if told_at is None else conditions.c.told_at.is_(None)
    where = (conditions.c.deployment == deployment, found)
    changed = connection.execute(update(conditions).where(*where).values(told_at=told_at))
    return changed.rowcount == 1


def waiting(connection: Transaction, deployments: Sequence[str]) -> dict[str, int]:
    """How many items that have not ended are routed to each of these deployments, and not running.

    Deployments for which nothing waits are left out.
    """
    if not deployments:
        return {}
    found = connection.execute(
        select(items.c.deployment, func.count().label("waiting"))
        .where(
            items.c.ended_at.is_(None),
            items.c.deployment.in_(list(deployments)),
            items.c.state.not_in([state.value for state in _NOT_WAITING]),
        )
        .group_by(items.c.deployment)
    )
    return {row.deployment: row.waiting for row in found}


def last_faults(connection: Transaction, claimed: Sequence[tuple[str, int]]) -> dict[str, int]:
    """When the last attempt of each item (id, fence) ended, where it was a fault too (epoch µs)."""
    if not claimed:
        return {}
    before = [(item_id, fence - 1) for item_id, fence in claimed]
    found = connection.execute(
        select(attempts.c.item_id, attempts.c.ended_at).where(
            tuple_(attempts.c.item_id, attempts.c.fence).in_(before),
            attempts.c.outcome.in_(("unavailable", "failed", "unknown")),
        )
    )
    return {row.item_id: row.ended_at for row in found}


_NOT_WAITING = (State.RUNNING, State.HANDED_OVER, State.REVIEW)
"""States of items that wait for no deployment."""

_UNDER_WAY = (State.QUEUED.value, State.RUNNING.value)


def under_way(connection: Transaction, probes: Mapping[str, str]) -> set[str]:
    """Those of these deployments whose item on trial (deployment -> item) is queued or running."""
    if not probes:
        return set()
    found = connection.execute(
        select(items.c.id, items.c.deployment).where(
            items.c.id.in_(list(probes.values())), items.c.state.in_(_UNDER_WAY)
        )
    )
    return {row.deployment for row in found if probes.get(row.deployment) == row.id}


def _locked(connection: Transaction, deployment: str) -> Condition:
    wanted = select(*_CONDITION).where(conditions.c.deployment == deployment).with_for_update()
    row = connection.execute(wanted).one_or_none()
    if row is None:
        new = asdict(Condition(deployment=deployment))
        connection.execute(upsert(connection, conditions).on_conflict_do_nothing(), new)
        row = connection.execute(wanted).one()
    return _condition(row)


def _write(connection: Transaction, before: Condition, now: Condition) -> None:
    old, new = asdict(before), asdict(now)
    changed = {name: value for name, value in new.items() if value != old[name]}
    if changed:
        where = conditions.c.deployment == before.deployment
        connection.execute(update(conditions).where(where).values(**changed))


def _condition(row: Sequence[Any]) -> Condition:
    """The condition of a row of ``_CONDITION``."""
    return Condition(**dict(zip(_NAMES, row, strict=True)))
