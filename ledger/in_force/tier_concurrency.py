"""What operators set of a tier while it runs: calls in flight over all its workers."""

from sqlalchemy import insert, select, update

from tierqueue.ledger import audit_log
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import tiers
from tierqueue.router.item import Tier

_ALL = select(tiers.c.tier, tiers.c.concurrency)


def concurrency(connection: Transaction, tier: Tier) -> int | None:
    """The calls in flight an operator has set; ``None``: the policy's starting value holds."""
    found = select(tiers.c.concurrency).where(tiers.c.tier == tier.value)
    return connection.execute(found).scalar()


def all_concurrency(connection: Transaction) -> dict[Tier, int]:
    """Every tier an operator has set, with its calls in flight."""
    rows = connection.execute(_ALL)
    return {Tier(row.tier): row.concurrency for row in rows if row.concurrency is not None}


def set_concurrency(connection: Transaction, tier: Tier, calls: int, by: str) -> None:
    """Set a tier's calls in flight (0 stops it); in force within two seconds everywhere."""
    values = {
        "concurrency": calls,
        "changed_at": database_now(connection),
        "changed_by": by,
    }
    where = tiers.c.tier == tier.value
    if connection.execute(update(tiers).where(where).values(**values)).rowcount == 0:
        connection.execute(insert(tiers).values(tier=tier.value, **values))
    audit_log.note(
        connection, by=by, what="concurrency", detail={"tier": tier.value, "calls": calls}
    )
