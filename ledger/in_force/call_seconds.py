"""Durations of answers of engines paid by the hour, in seconds, by task type and deployment.

Counted by size in the transaction that settles them, and read by whoever routes and claims.
"""

from collections import Counter
from collections.abc import Iterable
from functools import cache

from sqlalchemy import Insert, bindparam, func, select, update

from tierqueue.ledger.bulk import upsert_in
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import call_seconds
from tierqueue.router.selection.call_seconds import ByTask, allowed, size_of

MOST = 4_000
"""Answers from which on each counts half: an engine that has changed is soon seen."""

Took = tuple[str, str, float]
"""An answer: its task type, its deployment, and the seconds from the request on."""

_sizes = call_seconds.c
_ALL = select(call_seconds)
_PAIR = (_sizes.task == bindparam("b_task"), _sizes.deployment == bindparam("b_deployment"))
_WHOLE = select(func.sum(_sizes.answers)).where(*_PAIR)
_HALVE = update(call_seconds).where(*_PAIR).values(answers=_sizes.answers // 2)


def by_task(connection: Transaction) -> ByTask:
    """Of each task type and deployment the seconds that a call may take, where enough is known."""
    found: dict[tuple[str, str], dict[int, int]] = {}
    for row in connection.execute(_ALL):
        found.setdefault((row.task, row.deployment), {})[row.size] = row.answers
    bounds: dict[str, dict[str, float]] = {}
    for (task, deployment), answers in found.items():
        if (seconds := allowed(answers)) is not None:
            bounds.setdefault(task, {})[deployment] = seconds
    return bounds


def known(connection: Transaction, deployment: str) -> set[str]:
    """The task types of which enough is known at a deployment."""
    return {task for task, bounds in by_task(connection).items() if deployment in bounds}


def add(connection: Transaction, answers: Iterable[Took]) -> None:
    """Count these. The caller has locked what is known of each pair, so that nobody else counts."""
    more = Counter((task, at, size_of(seconds)) for task, at, seconds in answers)
    if not more:
        return
    rows = [
        {"task": task, "deployment": at, "size": size, "answers": many}
        for (task, at, size), many in sorted(more.items())
    ]
    connection.execute(_more(connection.dialect.name), rows)
    for task, deployment in sorted({(task, at) for task, at, _ in more}):
        pair = {"b_task": task, "b_deployment": deployment}
        if connection.execute(_WHOLE, pair).scalar_one() >= MOST:
            connection.execute(_HALVE, pair)


@cache
def _more(dialect: str) -> Insert:
    new = upsert_in(dialect, call_seconds)
    return new.on_conflict_do_update(
        index_elements=["task", "deployment", "size"],
        set_={"answers": _sizes.answers + new.excluded.answers},
    )
