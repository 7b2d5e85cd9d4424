"""The outset of a round of the routing stage, read in one question."""

from typing import NamedTuple

from sqlalchemy import BigInteger, bindparam, select

from tierqueue.ledger.in_force import conditions, pauses, policies, tier_concurrency
from tierqueue.ledger.lifecycle.routes import NEXT_DUE
from tierqueue.ledger.session import CLOCK, Transaction
from tierqueue.ledger.session import now as database_now

_ASKED = (
    policies.IN_FORCE,
    NEXT_DUE.scalar_subquery(),
    pauses.ANY,
    tier_concurrency.ANY,
    conditions.ANY,
)
_OUTSET = {
    "sqlite": select(bindparam("now", type_=BigInteger), *_ASKED),
    "postgresql": select(CLOCK, *_ASKED),
}


class Outset(NamedTuple):
    """What a round begins from."""

    now: int
    """Epoch microseconds, by the database's clock."""
    in_force: str | None
    """The digest of the policy in force; ``None`` where no routing stage has ever started."""
    due_at: int | None
    """When the next waiting item is due, epoch microseconds, if any waits."""
    paused: bool
    """Whether anything is paused."""
    tiers_set: bool
    """Whether an operator has set any tier's calls in flight."""
    impaired: bool
    """Whether anything is known against any deployment."""


def read(connection: Transaction) -> Outset:
    """All of it, with one question."""
    dialect = connection.dialect.name
    given = {"now": database_now(connection)} if dialect == "sqlite" else {}
    return Outset._make(connection.execute(_OUTSET[dialect], given).one())
