"""The audit log of operators' actions: append-only, written in the transaction that acts."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

from sqlalchemy import Select, func, insert, select

from tierqueue.ledger.session import Transaction
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import actions
from tierqueue.router.item import given_name


class Action(NamedTuple):
    """What an operator did."""

    id: int
    """One higher for each."""
    at: int
    """Epoch microseconds."""
    by: str
    """Who."""
    what: str
    """``replay``, ``pause``, …"""
    detail: Mapping[str, Any]
    """To which items, jobs or tiers, and how they stood before."""

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Self:
        """The action of a row of ``ACTION``."""
        return cls._make(row)


ACTION = tuple(actions.c[name] for name in Action._fields)
"""The columns of an ``Action``, in its order."""

_MOST_SEARCHED = 10_000
"""Newest actions among which some are looked for."""


def note(
    connection: Transaction,
    *,
    by: str,
    what: str,
    detail: Mapping[str, Any],
    reason: str | None = None,
) -> None:
    """Write down who does what, to which items, jobs or tiers (``detail``, plain JSON), and why.

    Raises ``InvalidItem`` where ``by`` is no name.
    """
    given_name("say who does this", by)
    whole = dict(detail) if reason is None else {**detail, "reason": reason}
    connection.execute(
        insert(actions).values(at=database_now(connection), by=by, what=what, detail=whole)
    )


def newest(connection: Transaction, limit: int) -> list[Action]:
    """The last actions, the newest first."""
    found = select(*ACTION).order_by(actions.c.id.desc()).limit(limit)
    return [Action.from_row(row) for row in connection.execute(found)]


def newest_of(connection: Transaction, what: str) -> list[Action]:
    """The last actions of a kind among the newest of all, the newest first."""
    new = _newest().subquery()
    found = select(*(new.c[name] for name in Action._fields)).where(new.c.what == what)
    return [Action.from_row(row) for row in connection.execute(found.order_by(new.c.id.desc()))]


def last(connection: Transaction, what: str) -> int | None:
    """When this was last done (epoch µs); ``None`` where it is not among the newest actions."""
    new = _newest().subquery()
    at: int | None = connection.execute(
        select(func.max(new.c.at)).where(new.c.what == what)
    ).scalar_one()
    return at


def _newest() -> Select[Any]:
    return select(*ACTION).order_by(actions.c.id.desc()).limit(_MOST_SEARCHED)
