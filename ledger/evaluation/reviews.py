"""Reviews: items that no tier was sure enough of, until a person decides or time runs out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from sqlalchemy import bindparam, case, exists, func, select, update

from tierqueue.ledger import audit_log
from tierqueue.ledger.evaluation import labels
from tierqueue.ledger.evaluation.labels import Label, LabelledItem
from tierqueue.ledger.in_force import evidence
from tierqueue.ledger.lifecycle.items import Death, die
from tierqueue.ledger.results.promises import Ending, Ends, ends_of
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import attempts, items, refused_answers, reviews
from tierqueue.router.lifecycle import State
from tierqueue.router.money import NanoUSD
from tierqueue.router.policy.duration import SECOND_US

_ITEM = items.c.id == reviews.c.item_id
# No join: SQLite would read every item to find its review.
_OPEN = (
    reviews.c.decided_at.is_(None),
    exists().where(_ITEM, items.c.state == State.REVIEW.value),
)


class WaitingReview(NamedTuple):
    """An item that waits for a person."""

    item: str
    """Its id."""
    task: str
    """The name of its task type."""
    reason: str
    """Why no tier's answer was accepted."""
    assignee: str | None
    """Who is to decide; ``None``: anybody."""
    parked_at: int
    """Epoch microseconds."""
    due: int
    """Until when, in epoch microseconds."""
    spent: NanoUSD
    """Nano-dollars: what its calls have cost."""

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Self:
        """The review of a row of ``_WAITING``."""
        return cls._make(row)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedAnswer:
    """An answer that was refused: by which attempt (``fence``), whose, why, how sure it was.

    ``answer`` is an output, or the text where it had no form; ``None`` where it was not kept.
    """

    fence: int
    tier: str
    deployment: str
    reasons: Sequence[str] = field(repr=False)
    confidence: float | None
    answer: Any = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewBacklog:
    """How many items wait for a person, how many of them not longer than until a moment, and when
    the first runs out of time (epoch microseconds); ``None`` where none waits.
    """

    items: int
    soon: int
    first_due: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a person decided: ``accepted``, ``corrected`` or ``rejected``.

    ``of``: whose answer was judged. ``output`` and ``receipt`` are the item's answer; ``death`` is
    its end where it was rejected.
    """

    word: str
    by: str
    of: str | None
    output: Any = field(default=None, repr=False)
    receipt: Mapping[str, Any] | None = None
    death: Death | None = None


_WAITING = (
    select(
        *(
            reviews.c[name]
            for name in ("item_id", "task", "reason", "assignee", "parked_at", "due")
        ),
        select(items.c.spent).where(_ITEM).scalar_subquery(),
    )
    .where(*_OPEN)
    .order_by(reviews.c.due, reviews.c.item_id)
)


def pending(
    connection: Transaction, *, task: str | None = None, assignee: str | None = None, most: int
) -> list[WaitingReview]:
    """What waits for a person, the first that runs out of time first, ``most`` at the most."""
    found = _WAITING.limit(most)
    if task is not None:
        found = found.where(reviews.c.task == task)
    if assignee is not None:
        found = found.where(reviews.c.assignee == assignee)
    return [WaitingReview.from_row(row) for row in connection.execute(found)]


def of_item(connection: Transaction, item_id: str) -> WaitingReview | None:
    """The item's review; ``None`` where it does not wait for one."""
    row = connection.execute(_WAITING.where(reviews.c.item_id == item_id)).first()
    return None if row is None else WaitingReview.from_row(row)


def refused(connection: Transaction, item_id: str) -> list[RefusedAnswer]:
    """The answers that were refused of an item, in their order."""
    kept = (refused_answers.c.item_id == attempts.c.item_id) & (
        refused_answers.c.fence == attempts.c.fence
    )
    found = (
        select(
            attempts.c.fence,
            attempts.c.tier,
            attempts.c.deployment,
            attempts.c.detail,
            attempts.c.confidence,
            refused_answers.c.answer,
        )
        .outerjoin(refused_answers, kept)
        .where(attempts.c.item_id == item_id, attempts.c.outcome == "rejected")
        .order_by(attempts.c.fence)
    )
    return [
        RefusedAnswer(
            fence=fence,
            tier=tier,
            deployment=deployment,
            reasons=tuple((detail or {}).get("reasons", ())),
            confidence=confidence,
            answer=answer,
        )
        for fence, tier, deployment, detail, confidence, answer in connection.execute(found)
    ]


def waiting(connection: Transaction, until: int) -> ReviewBacklog:
    """How much waits for a person, and how much of it runs out of time by then."""
    soon = func.count().filter(reviews.c.due <= until)
    found = select(func.count(), soon, func.min(reviews.c.due))
    count, urgent, first_due = connection.execute(found.where(*_OPEN)).one()
    return ReviewBacklog(items=count, soon=urgent, first_due=first_due)


def assign(
    connection: Transaction, item: LabelledItem, *, assignee: str | None, due: int | None, by: str
) -> int:
    """Give a review that ``labels.judgeable`` has locked to somebody, and another time until which
    it is to be decided (epoch microseconds, at the most until the item's deadline); ``None`` leaves
    either as it is. Returns until when.
    """
    deadline = select(items.c.deadline).where(items.c.id == item.id).scalar_subquery()
    given: dict[str, Any] = {} if assignee is None else {"assignee": assignee}
    if due is not None:
        given["due"] = case((deadline < due, deadline), else_=due)
    if given:
        connection.execute(update(reviews).where(reviews.c.item_id == item.id).values(**given))
    kept = select(reviews.c.due).where(reviews.c.item_id == item.id)
    until = int(connection.execute(kept).scalar_one())
    said = {"assignee": assignee, "due": None if due is None else until}
    told = {name: value for name, value in said.items() if value is not None}
    audit_log.note(connection, by=by, what="review", detail={"item": item.id, **told})
    return until


def decide(connection: Transaction, item: LabelledItem, decision: Decision) -> Ends:
    """Bring an item to its end that ``labels.judgeable`` has locked in ``review``.

    What the person said is a label of the answer that was judged, and evidence where that was
    right after all.
    """
    at = database_now(connection)
    if decision.death is not None:
        ends = die(connection, [decision.death], at)
    else:
        connection.execute(
            update(items)
            .where(items.c.id == item.id)
            .values(
                state=State.SUCCEEDED.value,
                reason=None,
                output=decision.output,
                receipt=dict(decision.receipt or {}),
                ended_at=at,
            )
        )
        answer = {"output": decision.output, "receipt": decision.receipt}
        ending = Ending(item_id=item.id, state=State.SUCCEEDED, answer=answer, error=None)
        ends = ends_of(connection, [ending])
    _close(connection, [item.id], at, decision.word, decision.by)
    right = decision.word == "accepted"
    corrected = decision.output if decision.word == "corrected" else None
    said = Label(correct=right, by=decision.by, corrected=corrected)
    labels.write(connection, item, decision.of, said)
    if right and decision.of is not None:
        evidence.judge_again(connection, item.task, decision.of, 1)
    audit_log.note(
        connection,
        by=decision.by,
        what="review",
        detail={"item": item.id, "decision": decision.word},
    )
    return ends


class _OverdueReview(NamedTuple):
    """A review that nobody has decided in time."""

    item_id: str
    """Whose it is."""
    due: int
    """Until when it was to be decided, in epoch microseconds."""
    assignee: str | None
    """Who was to decide."""

    def death(self, now: int) -> Death:
        """The end of its item ``now`` (epoch microseconds)."""
        said = "nobody decided its review in time"
        if self.assignee is not None:
            said = f"{self.assignee} has not decided its review"
        message = f"item {self.item_id}: {said}: replay it with a later deadline"
        late = (now - self.due) / SECOND_US
        fields = {"item": self.item_id, "due": self.due, "late_seconds": late, "review": True}
        return Death(self.item_id, "deadline", message, fields)


_OVERDUE = (
    select(*(reviews.c[name] for name in _OverdueReview._fields))
    .where(*_OPEN, reviews.c.due < bindparam("now"))
    .order_by(reviews.c.due)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)


def end_overdue(connection: Transaction, now: int, most: int) -> Ends:
    """End up to ``most`` items that nobody has decided in time."""
    rows = connection.execute(_OVERDUE, {"now": now, "most": most})
    late = [_OverdueReview._make(row) for row in rows]
    if late:
        _close(connection, [review.item_id for review in late], now, "expired", None)
    return die(connection, [review.death(now) for review in late], now)


def _close(
    connection: Transaction, item_ids: Sequence[str], at: int, word: str, by: str | None
) -> None:
    connection.execute(
        update(reviews)
        .where(reviews.c.item_id.in_(list(item_ids)))
        .values(decided_at=at, decision=word, by=by)
    )
