"""Labels: whether an item's answer was right, by somebody who knows, and what would have been."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from tierqueue.ledger import audit_log
from tierqueue.ledger.bulk import upsert
from tierqueue.ledger.in_force import evidence, reusable_answers
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import attempts, items, labels, reviews
from tierqueue.router.lifecycle import State


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledItem:
    """What a label needs to know of its item."""

    id: str
    task: str
    state: State
    deployment: str | None
    erased: bool
    decided_by: str | None
    """The person whose answer it is, after a review."""
    fence: int
    calls: int
    spent: int
    sensitivity: str | None
    prompt: str | None = None
    """The version of another prompt than its task type's own."""
    arguments: Mapping[str, Any] | None = field(repr=False)
    output: Any = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What somebody said of an item's answer; ``corrected`` is what it should have been."""

    correct: bool
    by: str
    corrected: Any = field(default=None, repr=False)


def judgeable(connection: Transaction, item_id: str) -> LabelledItem | None:
    """The item, its row locked; ``None`` where there is none."""
    names = (
        *("id", "task", "state", "deployment", "erased_at", "arguments", "output"),
        *("fence", "calls", "spent", "sensitivity", "prompt"),
    )
    answered = reviews.c.decision.in_(("accepted", "corrected"))
    decided = select(reviews.c.by).where(reviews.c.item_id == item_id, answered).scalar_subquery()
    found = (
        select(*(items.c[name] for name in names), decided.label("decided_by"))
        .where(items.c.id == item_id)
        .with_for_update(of=items)
    )
    row = connection.execute(found).first()
    if row is None:
        return None
    return LabelledItem(
        id=row.id,
        task=row.task,
        state=State(row.state),
        deployment=row.deployment,
        erased=row.erased_at is not None,
        arguments=row.arguments,
        output=row.output,
        decided_by=row.decided_by,
        fence=row.fence,
        calls=row.calls,
        spent=row.spent,
        sensitivity=row.sensitivity,
        prompt=row.prompt,
    )


def of_item(connection: Transaction, item_id: str) -> Label | None:
    """What was last said of an item's answer."""
    found = select(labels.c.correct, labels.c.by, labels.c.corrected)
    row = connection.execute(found.where(labels.c.item_id == item_id)).first()
    return None if row is None else Label(correct=row.correct, by=row.by, corrected=row.corrected)


def put(connection: Transaction, item: LabelledItem, label: Label, *, noted: bool = True) -> None:
    """Keep what is said of an item that ``judgeable`` has locked, instead of what was said before;
    ``noted``: in the audit log too.

    An accepted answer that is wrong counts, as evidence, as one that was not accepted.
    """
    before = of_item(connection, item.id)
    write(connection, item, item.deployment if item.state is State.SUCCEEDED else None, label)
    if not label.correct:
        reusable_answers.distrust(connection, item.id)
    if item.state is State.SUCCEEDED and item.deployment is not None and item.prompt is None:
        was_wrong = before is not None and not before.correct
        more = int(was_wrong) - int(not label.correct)
        if more:
            evidence.judge_again(connection, item.task, item.deployment, more)
    if noted:
        said = {"correct": label.correct, "corrected": label.corrected is not None}
        detail = {"item": item.id, **said}
        audit_log.note(connection, by=label.by, what="feedback", detail=detail)


def write(connection: Transaction, item: LabelledItem, of: str | None, label: Label) -> None:
    """Keep a label alone, of the answer of the deployment ``of``."""
    row = {
        "task": item.task,
        "deployment": of,
        "correct": label.correct,
        "corrected": label.corrected,
        "by": label.by,
        "at": database_now(connection),
    }
    statement = upsert(connection, labels).values(item_id=item.id, **row)
    connection.execute(statement.on_conflict_do_update(index_elements=["item_id"], set_=row))


def confidences(
    connection: Transaction, task: str, most: int
) -> dict[str, list[tuple[float, bool]]]:
    """By deployment how sure it was of each answer that was judged, and whether that was right: of
    the newest labels of a task type, ``most`` at the most, where a confidence is known. Answers to
    another prompt than its own are left out.
    """
    newest = (
        select(labels.c.item_id, labels.c.deployment, labels.c.correct)
        .join(items, items.c.id == labels.c.item_id)
        .where(labels.c.task == task, labels.c.deployment.is_not(None), items.c.prompt.is_(None))
        .order_by(labels.c.at.desc())
        .limit(most)
        .subquery()
    )
    of = (attempts.c.item_id == newest.c.item_id) & (attempts.c.deployment == newest.c.deployment)
    found = (
        select(newest.c.item_id, newest.c.deployment, newest.c.correct, attempts.c.confidence)
        .join(attempts, of)
        .where(attempts.c.outcome.in_(("accepted", "rejected")), attempts.c.confidence.is_not(None))
        .order_by(attempts.c.fence)
    )
    last = {row.item_id: row for row in connection.execute(found)}
    judged: dict[str, list[tuple[float, bool]]] = {}
    for row in last.values():
        judged.setdefault(row.deployment, []).append((row.confidence, row.correct))
    return judged
