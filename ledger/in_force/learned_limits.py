"""Limits of deployments as they were learned, for a broker that has forgotten them."""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import delete, select

from tierqueue.ledger.bulk import upsert
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import learned_limits

TOLD, REFUSED = "told", "refused"
"""By what it was learned: the provider states it, or has refused more."""

_KEY = ("deployment", "name", "how")


class LearnedLimit(NamedTuple):
    """One limit of a deployment, by the name that the policy gives it."""

    deployment: str
    name: str
    how: str
    """``TOLD`` or ``REFUSED``."""
    rate: int | None
    """Calls or tokens a minute; ``None``: not known any more."""
    tries: int
    """How often in a row it was refused about there."""
    at: int
    """Since when it is known so, in epoch microseconds."""


def all_learned(connection: Transaction, deployment: str | None = None) -> list[LearnedLimit]:
    """All that was learned of every deployment, or of one."""
    query = select(*(learned_limits.c[name] for name in LearnedLimit._fields))
    if deployment is not None:
        query = query.where(learned_limits.c.deployment == deployment)
    return [LearnedLimit(*row) for row in connection.execute(query)]


def write(connection: Transaction, learned: Iterable[LearnedLimit]) -> None:
    """Keep this in place of what was known of the same limits."""
    # In one order, so that workers that learn together wait for each other and for nothing else.
    for limit in sorted(learned, key=lambda one: one[:3]):
        values = limit._asdict()
        if limit.rate is None:
            where = [learned_limits.c[name] == values[name] for name in _KEY]
            connection.execute(delete(learned_limits).where(*where))
            continue
        news = {name: values[name] for name in ("rate", "tries", "at")}
        one = upsert(connection, learned_limits).values(**values)
        connection.execute(one.on_conflict_do_update(index_elements=list(_KEY), set_=news))
