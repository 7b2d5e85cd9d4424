"""Evidence: how each deployment's answers to a task type were judged, a few figures for each pair.

They are added in the transaction that settles the answers, and read by whoever routes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, case, select

from tierqueue.ledger.bulk import upsert
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import evidence
from tierqueue.router.selection.evidence import Evidence

MOST = 2_000
"""Answers from which on what is known counts half: a model that has changed is soon seen."""

ByTask = dict[str, dict[str, Evidence]]
"""Task type -> deployment -> what is known."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One answer that was judged: by which deployment, of which task type, and with what result."""

    task: str
    deployment: str
    accepted: bool
    input_tokens: int
    output_tokens: int
    seconds: float


_KEYS = ("task", "deployment")
_FIGURES = ("answers", "accepted", "input_tokens", "output_tokens", "seconds")


def by_task(connection: Transaction) -> ByTask:
    """Everything that is known."""
    found: ByTask = {}
    for row in connection.execute(select(*(evidence.c[name] for name in (*_KEYS, *_FIGURES)))):
        task, deployment, answers, accepted, taken, given, seconds = row
        seen = Evidence(answers, accepted, round(taken), round(given), seconds)
        found.setdefault(task, {})[deployment] = seen
    return found


def add(connection: Transaction, judged: Iterable[Judged]) -> None:
    """Add what these answers showed. Rows are locked in the order of their keys, after those of
    items and balances.
    """
    sums: dict[tuple[str, str], Evidence] = {}
    for one in judged:
        key = (one.task, one.deployment)
        before = sums.get(key, Evidence(0, 0, 0, 0, 0.0))
        sums[key] = Evidence(
            before.answers + 1,
            before.accepted + one.accepted,
            before.input_tokens + one.input_tokens,
            before.output_tokens + one.output_tokens,
            before.seconds + one.seconds,
        )
    if not sums:
        return
    more = upsert(connection, evidence)
    statement = more.on_conflict_do_update(
        index_elements=list(_KEYS),
        set_={name: _kept(name) + more.excluded[name] for name in _FIGURES},
    )
    for task, deployment in sorted(sums):
        figures = sums[task, deployment]
        row = {name: getattr(figures, name) for name in _FIGURES}
        connection.execute(statement, {"task": task, "deployment": deployment, **row})


def _kept(name: str) -> ColumnElement[Any]:
    column = evidence.c[name]
    half = column // 2 if name in ("answers", "accepted") else column / 2
    return case((evidence.c.answers >= MOST, half), else_=column)
