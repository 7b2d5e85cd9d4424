"""An operator's bound on a tier's calls in flight over all its workers, set while it runs."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, insert, select, update

from tierqueue.ledger import audit_log
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import tiers
from tierqueue.router.item import Tier

_ALL = select(tiers.c.tier, tiers.c.concurrency)
ANY = select(tiers.c.tier).where(tiers.c.concurrency.is_not(None)).exists()
"""Whether an operator has set any tier's calls in flight."""


def concurrency(connection: Transaction, tier: Tier) -> int | None:
    """The calls in flight an operator has set; ``None``: the policy's starting value holds."""
    found = select(tiers.c.concurrency).where(tiers.c.tier == tier.value)
    return connection.execute(found).scalar()


def all_concurrency(connection: Transaction) -> dict[Tier, int]:
    """Every tier an operator has set, with its calls in flight."""
    rows = connection.execute(_ALL)
    return {Tier(row.tier): row.concurrency for row in rows if row.concurrency is not None}


def set_concurrency(
    connection: Transaction, tier: Tier, calls: int, by: str, reason: str | None = None
) -> None:
    """Set a tier's calls in flight (0 stops it); in force within two seconds everywhere."""
    changed = _changed(connection, calls, by)
    if connection.execute(update(tiers).where(_of(tier)).values(**changed)).rowcount == 0:
        connection.execute(insert(tiers).values(tier=tier.value, **changed))
    _note(connection, {"tier": tier.value, "calls": calls}, by, reason)


def unset(connection: Transaction, tier: Tier, by: str, reason: str | None = None) -> bool:
    """Let the policy's calls in flight of a tier hold again; returns whether any had been set."""
    here = update(tiers).where(_of(tier), tiers.c.concurrency.is_not(None))
    found = connection.execute(here.values(**_changed(connection, None, by))).rowcount > 0
    if found:
        _note(connection, {"tier": tier.value, "unset": True}, by, reason)
    return found


def _of(tier: Tier) -> ColumnElement[bool]:
    return tiers.c.tier == tier.value


def _changed(connection: Transaction, calls: int | None, by: str) -> dict[str, Any]:
    return {"concurrency": calls, "changed_at": database_now(connection), "changed_by": by}


def _note(connection: Transaction, detail: Mapping[str, Any], by: str, reason: str | None) -> None:
    audit_log.note(connection, by=by, what="concurrency", detail=detail, reason=reason)
