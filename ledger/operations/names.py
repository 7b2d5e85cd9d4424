"""Names that people give, resolved: an id by its beginning, a budget by what was used so far."""

from collections.abc import Collection
from itertools import takewhile

from sqlalchemy import Column, ColumnElement, func, select

from tierqueue.ledger.bulk import among
from tierqueue.ledger.operations.item_list import of_reason
from tierqueue.ledger.records import reason_of
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import balances, items, jobs, promises

_ABOVE = "\U0010ffff"
"""Sorts behind everything that begins alike, in Python, SQLite and PostgreSQL's collation C."""

_LEAST = 13
"""Characters of an id: its millisecond."""

_BEFORE, _AFTER = items.alias(), items.alias()
_BETWEEN = select(
    items.c.id,
    select(func.max(_BEFORE.c.id))
    .where(_BEFORE.c.id < items.c.id)
    .scalar_subquery()
    .label("before"),
    select(func.min(_AFTER.c.id)).where(_AFTER.c.id > items.c.id).scalar_subquery().label("after"),
).where(among(items.c.id))
"""Items with the ids next to theirs."""

_RECENT = 2_000
"""Items, the newest ones, whose budgets are known names."""


def items_beginning(connection: Transaction, text: str, limit: int) -> list[str]:
    """Ids of up to ``limit`` items that begin with ``text``, the id ``text`` itself first.

    An item is known by the Celery task ids it was promised under as well.
    """
    found = _beginning(connection, items.c.id, text, limit)
    if found:
        return found
    promised = _beginning(connection, promises.c.id, text, limit)
    asked = select(promises.c.item_id).where(promises.c.id.in_(promised)).distinct()
    return sorted(connection.execute(asked).scalars()) if promised else []


def item_beginnings(connection: Transaction, item_ids: Collection[str]) -> dict[str, str]:
    """Of each item's id as much as no other item's begins with, ``_LEAST`` characters or more."""
    named = {}
    for row in connection.execute(_BETWEEN, {"ids": sorted(item_ids)}):
        alike = max(_alike(row.id, row.before or ""), _alike(row.id, row.after or ""))
        named[row.id] = row.id[: max(_LEAST, alike + 1)]
    return named


def _alike(one: str, other: str) -> int:
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def jobs_beginning(connection: Transaction, text: str, limit: int) -> list[str]:
    """Ids of up to ``limit`` jobs that begin with ``text``, the id ``text`` itself first."""
    return _beginning(connection, jobs.c.id, text, limit)


def budgets(connection: Transaction) -> list[str]:
    """Budgets that money was held for, and those of the newest items."""
    newest = select(items.c.budget).order_by(items.c.submitted_at.desc()).limit(_RECENT).subquery()
    used = select(newest.c.budget).where(newest.c.budget.is_not(None)).distinct()
    held = select(balances.c.name).where(balances.c.scope == "budget").distinct()
    return sorted({*connection.execute(used).scalars(), *connection.execute(held).scalars()})


def budget_is_known(connection: Transaction, name: str) -> bool:
    """Whether an item, or a ceiling's balance, is of this budget."""
    held = select(balances.c.name).where(balances.c.scope == "budget", balances.c.name == name)
    return _there_is(connection, items.c.budget == name) or (
        connection.execute(select(held.exists())).scalar_one()
    )


def task_is_known(connection: Transaction, name: str) -> bool:
    """Whether an item is of this task type."""
    return _there_is(connection, items.c.task == name)


def deployment_is_known(connection: Transaction, name: str) -> bool:
    """Whether an item is or was last routed to this deployment."""
    return _there_is(connection, items.c.deployment == name)


def reason_is_known(connection: Transaction, code: str) -> bool:
    """Whether an item waits or ended for this reason."""
    return _there_is(connection, of_reason(code))


def reasons(connection: Transaction) -> list[str]:
    """The reasons, without their details, for which the newest items wait or ended."""
    newest = select(items.c.reason).order_by(items.c.submitted_at.desc()).limit(_RECENT).subquery()
    asked = select(newest.c.reason).where(newest.c.reason.is_not(None)).distinct()
    return sorted({reason_of(reason, None)[0] for reason in connection.execute(asked).scalars()})


def _there_is(connection: Transaction, which: ColumnElement[bool]) -> bool:
    found: bool = connection.execute(select(select(items.c.id).where(which).exists())).scalar_one()
    return found


def _beginning(connection: Transaction, column: Column[str], text: str, limit: int) -> list[str]:
    # A range, which the primary key serves on both databases; in LIKE, % and _ would mean more.
    asked = select(column).where(column >= text, column < text + _ABOVE)
    found = list(connection.execute(asked.order_by(column).limit(limit)).scalars())
    return [text] if found[:1] == [text] else found
