"""What operators set of deployments' limits while they run, in place of what the policy states."""

from collections.abc import Mapping, Sequence

from sqlalchemy import delete, select

from tierqueue.ledger import audit_log
from tierqueue.ledger.bulk import upsert
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import limits


def all_set(connection: Transaction) -> dict[str, dict[str, int]]:
    """Of each deployment of which an operator has set any, the limits by name."""
    found: dict[str, dict[str, int]] = {}
    for row in connection.execute(select(limits.c.deployment, limits.c.name, limits.c.most)):
        found.setdefault(row.deployment, {})[row.name] = row.most
    return found


def set_limits(
    connection: Transaction, deployment: str, wanted: Mapping[str, int], by: str
) -> None:
    """Set limits of a deployment by name; in force within two seconds everywhere."""
    at = database_now(connection)
    for name in sorted(wanted):
        values = {"most": wanted[name], "changed_at": at, "changed_by": by}
        stated = upsert(connection, limits).values(deployment=deployment, name=name, **values)
        connection.execute(
            stated.on_conflict_do_update(index_elements=["deployment", "name"], set_=values)
        )
    _note(connection, by, {"deployment": deployment, **wanted})


def unset(connection: Transaction, deployment: str, names: Sequence[str], by: str) -> list[str]:
    """Let the policy's limits of these names hold again; returns which had been set."""
    where = (limits.c.deployment == deployment, limits.c.name.in_(list(names)))
    found = sorted(connection.execute(select(limits.c.name).where(*where)).scalars())
    if found:
        connection.execute(delete(limits).where(*where))
        _note(connection, by, {"deployment": deployment, "unset": found})
    return found


def _note(connection: Transaction, by: str, detail: Mapping[str, object]) -> None:
    audit_log.note(connection, by=by, what="limits", detail=detail)
