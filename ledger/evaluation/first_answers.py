"""Answers that were accepted where work went first: how many, on whose terms, for how much."""

from dataclasses import dataclass

from sqlalchemy import BigInteger, case, cast, func, select

from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import attempts, items, labels


@dataclass(frozen=True, slots=True)
class FirstAnswers:
    """Accepted answers of a deployment to items that no other tier had refused.

    ``sensitivity`` and ``floor``: what was in force for these items; ``cost``: nano-dollars of the
    accepted calls.
    """

    task: str
    deployment: str
    sensitivity: str | None
    floor: str | None
    simulated: bool
    items: int
    cost: int


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """How many of a deployment's answers to a task type people have judged, and called right."""

    answers: int
    right: int


def first_answers(connection: Transaction, since: int | None) -> list[FirstAnswers]:
    """The answers accepted since then (epoch microseconds); those of evaluations, and to other
    prompts than their task types' own, are left out.
    """
    simulated = case((attempts.c.simulated, 1), else_=0)
    keys = (items.c.task, attempts.c.deployment, items.c.sensitivity, items.c.floor, simulated)
    found = (
        select(*keys, func.count(), func.coalesce(func.sum(attempts.c.cost), 0))
        .join(items, items.c.id == attempts.c.item_id)
        .where(
            attempts.c.outcome == "accepted",
            items.c.refused_by.is_(None),
            items.c.pinned.is_(None),
            items.c.prompt.is_(None),
        )
        .group_by(*keys)
        .order_by(*keys)
    )
    if since is not None:
        found = found.where(attempts.c.started_at >= since)
    return [
        FirstAnswers(task, deployment, sensitivity, floor, bool(made_up), count, int(cost))
        for task, deployment, sensitivity, floor, made_up, count, cost in connection.execute(found)
    ]


def judged(connection: Transaction) -> dict[tuple[str, str], LabelCounts]:
    """By task type and deployment, what people said of its answers."""
    right = func.sum(cast(case((labels.c.correct, 1), else_=0), BigInteger))
    found = (
        select(labels.c.task, labels.c.deployment, func.count(), right)
        .join(items, items.c.id == labels.c.item_id)
        .where(labels.c.deployment.is_not(None), items.c.prompt.is_(None))
        .group_by(labels.c.task, labels.c.deployment)
    )
    return {
        (task, deployment): LabelCounts(answers, int(good))
        for task, deployment, answers, good in connection.execute(found)
    }
