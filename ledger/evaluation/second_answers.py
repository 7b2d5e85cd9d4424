"""Second answers beside the first: what both said, what they cost and how long they took."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Select, select

from tierqueue.ledger import paging
from tierqueue.ledger.evaluation import calls
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import items, labels
from tierqueue.router.lifecycle import State

_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedAnswer:
    """One item's answer; ``cost`` in nano-dollars over all its calls, ``seconds`` of the calls
    alone. ``refused``: its last answer was; ``output`` is ``None`` where there is none (any more).
    """

    item: str
    deployment: str
    state: State
    reason: str | None
    cost: int
    seconds: float
    refused: bool
    simulated: bool
    output: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """An item that was accepted and its second; ``correct`` and ``corrected``: what people said of
    the first answer, ``None`` where nobody said anything.
    """

    purpose: str
    first: RecordedAnswer
    second: RecordedAnswer
    correct: bool | None
    corrected: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SecondItem:
    """A second item in a line: ``asked`` is the candidate, or the tier that it asks."""

    item: str
    purpose: str
    asked: str
    state: State


_FIRST = items.alias("first")
_SHOWN = ("id", "deployment", "tier", "state", "reason", "spent", "output")


def pairs(connection: Transaction, task: str, since: int | None, most: int) -> Iterator[Pair]:
    """The newest pairs of a task type whose second was made from ``since`` on (epoch µs), ``most``
    at the most, read in pages.
    """
    for rows in paging.newest(connection, _seconds(task, since), most, _PAGE):
        ids = [item_id for row in rows for item_id in (row.id, row.first_id)]
        made = calls.by_item(connection, ids)
        for row in rows:
            yield Pair(
                purpose=row.purpose,
                first=_answer(row, "first_", made.get(row.first_id, ())),
                second=_answer(row, "", made.get(row.id, ())),
                correct=row.correct,
                corrected=row.corrected,
            )


def of_item(connection: Transaction, item_id: str) -> list[SecondItem]:
    """The second items of an item."""
    shown = (items.c.id, items.c.purpose, items.c.candidate, items.c.pinned, items.c.state)
    found = select(*shown).where(items.c.second_to.is_not(None), items.c.second_to == item_id)
    return [
        SecondItem(row.id, row.purpose, row.candidate or row.pinned, State(row.state))
        for row in connection.execute(found.order_by(items.c.id))
    ]


def _seconds(task: str, since: int | None) -> Select[Any]:
    found = (
        select(
            *(items.c[name] for name in (*_SHOWN, "purpose", "candidate", "pinned")),
            *(_FIRST.c[name].label(f"first_{name}") for name in _SHOWN),
            labels.c.correct,
            labels.c.corrected,
        )
        .join(_FIRST, _FIRST.c.id == items.c.second_to)
        .outerjoin(labels, labels.c.item_id == _FIRST.c.id)
        .where(items.c.second_to.is_not(None), items.c.task == task)
    )
    return found if since is None else found.where(items.c.submitted_at >= since)


def _answer(row: Any, of: str, made: Sequence[calls.RecordedCall]) -> RecordedAnswer:
    shown = {name: getattr(row, of + name) for name in _SHOWN}
    return RecordedAnswer(
        item=shown["id"],
        deployment=shown["deployment"] or row.candidate or row.pinned,
        state=State(shown["state"]),
        reason=shown["reason"],
        cost=shown["spent"],
        seconds=sum(call.seconds for call in made),
        refused=bool(made) and made[-1].outcome == "rejected",
        simulated=any(call.simulated for call in made),
        output=shown["output"],
    )
