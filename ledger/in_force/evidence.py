"""Evidence: how each deployment's answers to a task type were judged, a few figures for each pair.

They are added in the transaction that settles the answers, and read by whoever routes.
"""

from collections import defaultdict
from collections.abc import Collection
from functools import cache
from hashlib import sha256
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Insert, case, select, update

from tierqueue.ledger.bulk import among, upsert_in
from tierqueue.ledger.in_force import call_seconds
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import evidence, items
from tierqueue.router.selection.evidence import Evidence

MOST = 2_000
"""Answers from which on what is known counts half: a model that has changed is soon seen."""

_FIRST = items.alias("first")
_OF_THE_FIRST = (
    select(items.c.id, evidence.c.accepted, evidence.c.answers)
    .join(_FIRST, _FIRST.c.id == items.c.second_to)
    .join(
        evidence,
        (evidence.c.task == items.c.task) & (evidence.c.deployment == _FIRST.c.deployment),
    )
    .where(among(items.c.id), items.c.second_to.is_not(None), evidence.c.answers > 0)
)

ByTask = dict[str, dict[str, Evidence]]
"""Task type -> deployment -> what is known."""


class JudgedAnswer(NamedTuple):
    """One answer that was judged: by which deployment, of which task type, and with what result."""

    task: str
    deployment: str
    accepted: bool
    input_tokens: int
    output_tokens: int
    seconds: float
    by_the_hour: bool = False
    """Whether its engine is paid by the hour, so that its seconds bound the next call."""
    second: str | None = None
    """The item that gave it, where it answers a second time what another's was accepted for."""


_KEYS = ("task", "deployment")
_FIGURES = ("answers", "accepted", "input_tokens", "output_tokens", "seconds")

_ALL = select(*(evidence.c[name] for name in (*_KEYS, *_FIGURES)))


def by_task(connection: Transaction) -> ByTask:
    """Everything that is known."""
    found: ByTask = {}
    for row in connection.execute(_ALL):
        task, deployment, answers, accepted, taken, given, seconds = row
        seen = Evidence(answers, accepted, round(taken), round(given), seconds)
        found.setdefault(task, {})[deployment] = seen
    return found


def add(connection: Transaction, judged: Collection[JudgedAnswer]) -> None:
    """Add what these answers showed. Rows are locked in the order of their keys, after those of
    items and balances.

    Second answers are asked for what was accepted, and so not for what is hardest. They count as
    accepted only as often as the first deployment's answers are: as if what that one was refused
    for were refused here too.
    """
    judged = _with_what_was_refused_before(connection, judged)
    alike: dict[tuple[str, str], list[JudgedAnswer]] = defaultdict(list)
    for one in judged:
        alike[one.task, one.deployment].append(one)
    if not alike:
        return
    statement = _more(connection.dialect.name)
    for (task, deployment), answers in sorted(alike.items()):
        row: dict[str, Any] = {"task": task, "deployment": deployment, "answers": len(answers)}
        row |= {name: sum(getattr(one, name) for one in answers) for name in _FIGURES[1:]}
        connection.execute(statement, row)
    took = [(one.task, one.deployment, one.seconds) for one in judged if one.by_the_hour]
    call_seconds.add(connection, took)


def _with_what_was_refused_before(
    connection: Transaction, judged: Collection[JudgedAnswer]
) -> Collection[JudgedAnswer]:
    seconds = [one.second for one in judged if one.second is not None and one.accepted]
    if not seconds:
        return judged
    first = {
        row.id: row.accepted / row.answers
        for row in connection.execute(_OF_THE_FIRST, {"ids": sorted(seconds)})
    }

    def refused(one: JudgedAnswer) -> bool:
        return one.second is not None and _drawn(one.second) >= first.get(one.second, 1.0)

    return [one._replace(accepted=one.accepted and not refused(one)) for one in judged]


def _drawn(item_id: str) -> float:
    """Uniform in [0, 1), the same for an item whoever settles it."""
    return int.from_bytes(sha256(f"evidence:{item_id}".encode()).digest()[:8]) / 2**64


@cache
def _more(dialect: str) -> Insert:
    more = upsert_in(dialect, evidence)
    return more.on_conflict_do_update(
        index_elements=list(_KEYS),
        set_={name: _faded(name) + more.excluded[name] for name in _FIGURES},
    )


def judge_again(connection: Transaction, task: str, deployment: str, more: int) -> None:
    """So many ``more`` answers than were counted were good, fewer where it is negative: somebody
    said so later.
    """
    good = evidence.c.accepted + more
    within = case((good < 0, 0), (good > evidence.c.answers, evidence.c.answers), else_=good)
    where = (evidence.c.task == task, evidence.c.deployment == deployment)
    connection.execute(update(evidence).where(*where).values(accepted=within))


def _faded(name: str) -> ColumnElement[Any]:
    column = evidence.c[name]
    half = column // 2 if name in ("answers", "accepted") else column / 2
    return case((evidence.c.answers >= MOST, half), else_=column)
