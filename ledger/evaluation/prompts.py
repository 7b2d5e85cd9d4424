"""Two prompts of a task type, side by side: what became of the items that were asked under each."""

from dataclasses import dataclass

from sqlalchemy import BigInteger, ColumnElement, Double, case, cast, func, select

from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import items, labels, surrogate_audits
from tierqueue.router.lifecycle import State

_ENDED = (State.SUCCEEDED.value, State.DEAD.value)


@dataclass(frozen=True, slots=True)
class PromptResults:
    """Items of a task type that have ended, and were asked under one prompt; ``prompt``: its
    version, ``None`` for the task type's own.

    ``accepted``: those with an answer; ``labelled`` of these were judged, ``right`` rightly so.
    ``cost``: nano-dollars of all, ``squares`` the sum of each one's squared.
    """

    task: str
    prompt: str | None
    items: int
    accepted: int
    labelled: int
    right: int
    cost: int
    squares: float


def compared(connection: Transaction, task: str | None, since: int) -> list[PromptResults]:
    """What was submitted from ``since`` on (epoch microseconds), of ``task`` or, without one, of
    each task type of which another prompt was asked; a task type's own prompt comes first.

    Left out is what evaluations asked of their own, and on both sides what rules, earlier answers
    and surrogates answer: under the other prompt they leave it to the model and say so.
    """
    other = select(items.c.task).where(items.c.submitted_at >= since, items.c.prompt.is_not(None))
    ended = items.c.state == State.SUCCEEDED.value
    cost = cast(items.c.spent, Double)
    found = (
        select(
            items.c.task,
            items.c.prompt,
            func.count(),
            _sum(ended),
            func.count(labels.c.item_id),
            _sum(labels.c.correct),
            func.sum(cast(items.c.spent, BigInteger)),
            func.sum(cost * cost),
        )
        .outerjoin(labels, labels.c.item_id == items.c.id)
        .where(
            items.c.submitted_at >= since,
            items.c.state.in_(_ENDED),
            items.c.calls > 0,
            items.c.pinned.is_(None),
            items.c.fresh.is_(False),
            ~select(surrogate_audits.c.item_id)
            .where(surrogate_audits.c.item_id == items.c.id)
            .exists(),
            items.c.task.in_(other) if task is None else items.c.task == task,
        )
        .group_by(items.c.task, items.c.prompt)
    )
    asked = [
        PromptResults(
            name, prompt, count, int(good), judged, int(right), int(spent), float(squares)
        )
        for name, prompt, count, good, judged, right, spent, squares in connection.execute(found)
    ]
    return sorted(asked, key=lambda one: (one.task, one.prompt or ""))


def _sum(condition: ColumnElement[bool]) -> ColumnElement[int]:
    """How many rows it holds for."""
    return func.coalesce(func.sum(cast(case((condition, 1), else_=0), BigInteger)), 0)
