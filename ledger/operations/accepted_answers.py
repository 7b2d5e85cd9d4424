"""Answers of models that were accepted, each with its call: what surrogates are trained on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, or_, select

from tierqueue.ledger import paging
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import items, labels
from tierqueue.router.lifecycle import State

_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class AcceptedAnswer:
    """What an item was called with, and the output that was accepted for it."""

    arguments: Mapping[str, Any]
    output: Any


def accepted(connection: Transaction, task: str, most: int) -> Iterator[AcceptedAnswer]:
    """The newest accepted answers of a task type, ``most`` at the most, read in pages.

    Where somebody corrected one, what would have been right stands for it, also of an item that has
    no answer; one that is wrong is left out, and so are erased ones, those that took no call (a
    surrogate must not learn from itself), second answers to the same, and those to another prompt
    than the task type's own.
    """
    said = and_(
        items.c.state == State.SUCCEEDED.value,
        items.c.deployment.is_not(None),
        items.c.output.is_not(None),
        or_(labels.c.correct.is_(None), labels.c.correct),
    )
    found = (
        select(items.c.id, items.c.arguments, items.c.output, labels.c.corrected)
        .outerjoin(labels, labels.c.item_id == items.c.id)
        .where(
            items.c.task == task,
            items.c.second_to.is_(None),
            items.c.arguments.is_not(None),
            items.c.prompt.is_(None),
            or_(said, labels.c.corrected.is_not(None)),
        )
    )
    for rows in paging.newest(connection, found, most, _PAGE):
        for row in rows:
            yield AcceptedAnswer(
                row.arguments, row.output if row.corrected is None else row.corrected
            )
