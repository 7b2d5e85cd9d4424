"""Simulated parts of the ledger: calls, items and jobs whose money or answers are made up."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, or_, select, union
from sqlalchemy.sql.selectable import Select

from tierqueue.ledger.tables import attempts, items

_EDGE = 100
"""Items at either end of many that are looked at: whoever tries a simulation begins with it."""

_NONE: frozenset[str] = frozenset()


def of_call(deployments: Collection[str]) -> ColumnElement[int]:
    """1 where the call of a row of attempts is simulated, else 0: as its reply said, and of one
    whose reply did not come to say so, where its deployment is one of ``deployments``.
    """
    listed = attempts.c.deployment.in_(sorted(deployments))
    # As numbers, which both databases group and order alike.
    said = case((attempts.c.simulated, 1), else_=0)
    return case((attempts.c.simulated.is_not(None), said), (listed, 1), else_=0)


def of_items(
    connection: Connection, item_ids: Collection[str], deployments: Collection[str] = _NONE
) -> frozenset[str]:
    """Those of these items, or of documents the ids name, of which any money or answer is
    simulated; ``deployments`` are the simulated ones of the policy.
    """
    ids = sorted(set(item_ids))
    if not ids:
        return _NONE
    meant, called = items.c.id.in_(ids), of_call(deployments) == 1
    answered = items.c.receipt["simulated"].as_boolean()
    routed = items.c.deployment.in_(sorted(deployments))
    own = select(attempts.c.item_id).where(attempts.c.item_id.in_(ids), called)
    reused = select(items.c.id).where(meant, or_(answered, routed))
    parts = (
        select(items.c.part_of)
        .join(attempts, attempts.c.item_id == items.c.id)
        .where(items.c.part_of.in_(ids), called)
    )
    return frozenset(connection.scalars(union(own, reused, parts)))


def of_job(connection: Connection, job_id: str) -> bool:
    """Whether calls or answers of a job are known to be simulated, by its first and last rows."""
    of_it = select(items.c.id).where(items.c.job_id == job_id)
    placed = of_it.where(items.c.job_index.is_not(None))
    place = items.c.job_index
    return bool(of_items(connection, _edges(connection, placed, place.asc(), place.desc())))


def deployments(connection: Connection, stated: Collection[str] = _NONE) -> frozenset[str]:
    """The simulated deployments: those ``stated`` by the policy, and those that the first and last
    items of the ledger were called at.
    """
    at = items.c.submitted_at
    ids = _edges(connection, select(items.c.id), at.asc(), at.desc())
    found = select(attempts.c.deployment).where(attempts.c.item_id.in_(ids), attempts.c.simulated)
    return frozenset(stated) | frozenset(connection.scalars(found.distinct()))


def _edges(
    connection: Connection, found: Select[tuple[str]], *orders: ColumnElement[int]
) -> list[Any]:
    return [
        item_id
        for order in orders
        for item_id in connection.scalars(found.order_by(order).limit(_EDGE)).all()
    ]
