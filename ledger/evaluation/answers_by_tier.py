"""Answers of models, each with its tier: what a comparison of two tiers is learned from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from tierqueue.ledger import paging
from tierqueue.ledger.bulk import among
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import attempts, items, labels, refused_answers
from tierqueue.router.lifecycle import ENDS

_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class TierAnswer:
    """One answer: which tier gave it, and whether it was accepted. ``output`` is ``None`` where it
    was not kept.
    """

    tier: str
    accepted: bool
    simulated: bool
    output: Any = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredItem:
    """An item that models answered, in the order in which they were asked.

    ``correct``: what people said of its answer, ``None`` where nobody said anything; ``truth``:
    what is right, as far as they said. ``drawn``: it is no work of its own: an evaluation asked it,
    or it is a second item.
    """

    budget: str | None
    drawn: bool
    answers: Sequence[TierAnswer]
    correct: bool | None
    arguments: Mapping[str, Any] = field(repr=False)
    truth: Any = field(repr=False)


def answered(connection: Transaction, task: str, most: int) -> Iterator[AnsweredItem]:
    """The newest items of a task type that have ended and that models answered, ``most`` at the
    most, read in pages. Left out are erased ones, and those under another prompt than its own.
    """
    names = ("id", "arguments", "budget", "output", "second_to", "pinned", "fresh")
    found = (
        select(*(items.c[name] for name in names), labels.c.correct, labels.c.corrected)
        .outerjoin(labels, labels.c.item_id == items.c.id)
        .where(
            items.c.task == task,
            items.c.calls > 0,
            items.c.state.in_([state.value for state in ENDS]),
            items.c.arguments.is_not(None),
            items.c.prompt.is_(None),
        )
    )
    for rows in paging.newest(connection, found, most, _PAGE):
        given = _given(connection, {row.id: row.output for row in rows})
        for row in rows:
            if row.id in given:
                yield _answered(row, given[row.id])


def _given(connection: Transaction, output: Mapping[str, Any]) -> dict[str, list[TierAnswer]]:
    kept = (refused_answers.c.item_id == attempts.c.item_id) & (
        refused_answers.c.fence == attempts.c.fence
    )
    names = ("item_id", "tier", "outcome", "simulated")
    found = (
        select(*(attempts.c[name] for name in names), refused_answers.c.answer)
        .outerjoin(refused_answers, kept)
        .where(among(attempts.c.item_id), attempts.c.outcome.in_(("accepted", "rejected")))
        .order_by(attempts.c.item_id, attempts.c.fence)
    )
    given: dict[str, list[TierAnswer]] = {}
    for row in connection.execute(found, {"ids": sorted(output)}):
        accepted = row.outcome == "accepted"
        answer = TierAnswer(
            tier=row.tier,
            accepted=accepted,
            simulated=bool(row.simulated),
            output=output[row.item_id] if accepted else row.answer,
        )
        given.setdefault(row.item_id, []).append(answer)
    return given


def _answered(row: Any, answers: Sequence[TierAnswer]) -> AnsweredItem:
    return AnsweredItem(
        budget=row.budget,
        drawn=row.second_to is not None or row.pinned is not None or row.fresh,
        answers=answers,
        correct=row.correct,
        arguments=row.arguments,
        truth=row.output if row.correct else row.corrected,
    )
