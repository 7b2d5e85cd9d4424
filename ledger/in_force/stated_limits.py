"""Limits that operators set while it runs, in place of what the policy states: of deployments, of
``account:NAME`` and of ``budget:NAME``.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import delete, func, select, update

from tierqueue.ledger import audit_log
from tierqueue.ledger.bulk import among, upsert
from tierqueue.ledger.in_force.pauses import LONGEST_US
from tierqueue.ledger.literals import is_in
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import items, limits
from tierqueue.router.item import given_name
from tierqueue.router.lifecycle import LIMITS, State, Wait
from tierqueue.router.policy.deployment import whose
from tierqueue.router.policy.duration import SECOND_US

_IN_FORCE_US = 2 * SECOND_US
"""Microseconds after which every process goes by limits that were set."""


def all_set(connection: Transaction) -> dict[str, dict[str, int]]:
    """Of each deployment, ``account:NAME`` and ``budget:NAME`` the limits set, by name."""
    found: dict[str, dict[str, int]] = {}
    for row in connection.execute(select(limits.c.deployment, limits.c.name, limits.c.most)):
        found.setdefault(row.deployment, {})[row.name] = row.most
    return found


def all_since(connection: Transaction) -> dict[str, int]:
    """Of each of them since when any limit is set of it without a break (epoch microseconds)."""
    first = func.min(func.coalesce(limits.c.since, limits.c.changed_at))
    found = select(limits.c.deployment, first).group_by(limits.c.deployment)
    return {scope: int(since) for scope, since in connection.execute(found)}


def set_limits(
    connection: Transaction,
    deployment: str,
    wanted: Mapping[str, int],
    by: str,
    reason: str | None = None,
) -> None:
    """Set limits by name of a deployment, ``account:NAME`` or ``budget:NAME``; in force within two
    seconds everywhere, also for those who wait for them. Raises ``InvalidItem`` for no name.
    """
    kind, own = whose(deployment)
    given_name(kind, own)
    at = database_now(connection)
    for name in sorted(wanted):
        values = {"most": wanted[name], "changed_at": at, "changed_by": by}
        new = {"deployment": deployment, "name": name, "since": at}
        stated = upsert(connection, limits).values(**new, **values)
        connection.execute(
            stated.on_conflict_do_update(index_elements=["deployment", "name"], set_=values)
        )
    _note(connection, deployment, wanted, by, reason)
    _wake(connection, deployment, at)


def unset(
    connection: Transaction,
    deployment: str,
    names: Sequence[str],
    by: str,
    reason: str | None = None,
) -> list[str]:
    """Let the policy's limits of these names hold again; returns which had been set."""
    where = (limits.c.deployment == deployment, limits.c.name.in_(list(names)))
    found = sorted(connection.execute(select(limits.c.name).where(*where)).scalars())
    if found:
        connection.execute(delete(limits).where(*where))
        _note(connection, deployment, {"unset": found}, by, reason)
        _wake(connection, deployment, database_now(connection))
    return found


def _wake(connection: Transaction, scope: str, now: int) -> None:
    """Have items that wait for these limits ask again once every process goes by the new ones.

    One that asked sooner than two seconds from ``now`` (epoch microseconds) could be held to those
    of before, and wait a minute for them.
    """
    kind, name = whose(scope)
    of_it = [items.c[kind] == name] if kind in ("deployment", "budget") else []
    waiting = (
        select(items.c.id)
        .where(
            is_in(State.WAITING),
            items.c.ready_at.between(now, now + LONGEST_US),
            items.c.reason.in_([*LIMITS, Wait.TOKEN_LIMIT]),
            *of_it,
        )
        .with_for_update(skip_locked=True)
    )
    ids = list(connection.execute(waiting).scalars())
    if ids:
        soon = update(items).where(among(items.c.id)).values(ready_at=now + _IN_FORCE_US)
        connection.execute(soon, {"ids": ids})


def _note(
    connection: Transaction, scope: str, detail: Mapping[str, object], by: str, reason: str | None
) -> None:
    kind, name = whose(scope)
    audit_log.note(connection, by=by, what="limits", detail={kind: name, **detail}, reason=reason)
