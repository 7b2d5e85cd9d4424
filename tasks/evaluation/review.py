"""A person as the last tier: what no model was sure enough of is parked, and decided."""

from typing import TYPE_CHECKING, Any

from celery.result import AsyncResult

from tierqueue.router.errors import InvalidItem
from tierqueue.router.item import given_name
from tierqueue.router.lifecycle import State
from tierqueue.router.money import NanoUSD, format_usd
from tierqueue.router.policy.duration import microseconds
from tierqueue.tasks.app import app
from tierqueue.tasks.evaluation.feedback import checked
from tierqueue.tasks.submission.item_task import ItemTask

if TYPE_CHECKING:
    from tierqueue.ledger.evaluation import reviews
    from tierqueue.ledger.evaluation.labels import LabelledItem

_LONGEST_SECONDS = 366 * 86_400.0
"""Seconds that a person may be given."""

_MOST_WORDS = 500
"""Characters of a reason that a person gives."""


def pending_reviews(
    *, task: str | None = None, assignee: str | None = None, most: int = 1_000
) -> "list[reviews.WaitingReview]":
    """Items that wait for a person, the first that runs out of time first."""
    from tierqueue.ledger.evaluation import reviews

    with app.installation.ledger.read() as connection:
        return reviews.pending(connection, task=task, assignee=assignee, most=most)


class Review:
    """The review of one item, by its result or its id; what is decided comes true at its producer.

    Each decision raises ``InvalidItem`` where the item does not wait for one. ``by``: who decides,
    for the receipt and the audit log.
    """

    def __init__(self, item: str | AsyncResult) -> None:
        self.named = str(item.id) if isinstance(item, AsyncResult) else item

    def __repr__(self) -> str:
        return f"Review({self.named!r})"

    def answers(self) -> "list[reviews.RefusedAnswer]":
        """The answers that were refused, in their order, each with why."""
        from tierqueue.ledger.evaluation import reviews

        with app.installation.ledger.read() as connection:
            return reviews.refused(connection, self._id(connection))

    def assign(self, *, to: str | None = None, within: float | None = None, by: str) -> int:
        """Give it to somebody (``to``), and so many seconds from now to decide it (``within``), at
        the most until the item's deadline. Returns until when, in epoch microseconds.

        Raises ``InvalidItem`` for a name that is empty or too long, for no time at all, and where
        neither is said.
        """
        from tierqueue.ledger.evaluation import reviews
        from tierqueue.ledger.session import now as database_now

        if to is None and within is None:
            raise InvalidItem("say to whom, or within which time")
        if to is not None:
            given_name("say to whom", to)
        if within is not None and not 0 < within <= _LONGEST_SECONDS:
            raise InvalidItem("say within which time: more than nothing, at most a year")
        with app.installation.ledger.write() as connection:
            item = self._locked(connection)
            due = None if within is None else database_now(connection) + microseconds(within)
            return reviews.assign(connection, item, assignee=to, due=due, by=by)

    def accept(self, *, by: str, answer: int | None = None) -> None:
        """Take a refused answer after all: the one of attempt ``answer``, else the last that fits.

        Raises ``InvalidItem`` where there is none that has the task type's form.
        """
        from tierqueue.ledger.evaluation import reviews
        from tierqueue.ledger.evaluation.reviews import Decision

        with app.installation.ledger.write() as connection:
            item = self._locked(connection)
            kept = [
                one
                for one in reviews.refused(connection, item.id)
                if isinstance(one.answer, dict) and answer in (None, one.fence)
            ]
            if not kept:
                which = "answer" if answer is None else f"answer of attempt {answer}"
                raise InvalidItem(
                    f"item {item.id} has no {which} that can be taken: say what is right (correct)"
                )
            taken = kept[-1]
            output = {**checked(item, taken.answer), **_confidence(item, taken)}
            why = f"{by} took the answer of {taken.deployment}"
            receipt = _receipt(item, by, "accepted", why, taken.deployment)
            decision = Decision(
                word="accepted", by=by, of=taken.deployment, output=output, receipt=receipt
            )
            ends = reviews.decide(connection, item, decision)
        self._notify(ends)

    def correct(self, output: Any, *, by: str) -> None:
        """Answer in the models' place; ``output`` is checked as ``feedback`` checks it."""
        from tierqueue.ledger.evaluation import reviews
        from tierqueue.ledger.evaluation.reviews import Decision

        with app.installation.ledger.write() as connection:
            item = self._locked(connection)
            kept = checked(item, output)
            receipt = _receipt(item, by, "corrected", f"{by} answered", None)
            decision = Decision(
                word="corrected", by=by, of=item.deployment, output=kept, receipt=receipt
            )
            ends = reviews.decide(connection, item, decision)
        self._notify(ends)

    def reject(self, why: str, *, by: str) -> None:
        """End it as a dead letter ``rejected``; ``why`` is told to its producer."""
        from tierqueue.ledger.evaluation import reviews
        from tierqueue.ledger.evaluation.reviews import Decision
        from tierqueue.ledger.lifecycle.items import Death

        if not why.strip() or len(why) > _MOST_WORDS:
            raise InvalidItem(f"say why, in at most {_MOST_WORDS} characters")
        with app.installation.ledger.write() as connection:
            item = self._locked(connection)
            message = f"item {item.id}: {by} rejected it in review: {why}"
            death = Death(item.id, "rejected", message, {"item": item.id, "review": True})
            decision = Decision(word="rejected", by=by, of=item.deployment, death=death)
            ends = reviews.decide(connection, item, decision)
        self._notify(ends)

    def _id(self, connection: Any) -> str:
        from tierqueue.ledger.results.promises import items_of

        return next(iter(items_of(connection, [self.named])), self.named)

    def _locked(self, connection: Any) -> "LabelledItem":
        from tierqueue.ledger.evaluation import labels

        found = labels.judgeable(connection, self._id(connection))
        if found is None:
            raise InvalidItem(f"there is no item {self.named}")
        if found.state is not State.REVIEW:
            raise InvalidItem(f"item {found.id} waits for no review: it is {found.state.value}")
        return found

    def _notify(self, ends: Any) -> None:
        from tierqueue.tasks.results.delivery import Delivery

        Delivery(app).ended(ends)
        app.installation.wakes.call()


def _confidence(item: "LabelledItem", taken: "reviews.RefusedAnswer") -> dict[str, Any]:
    kind = ItemTask.declared[item.task]
    told = kind.answer_model is not None and "confidence" in kind.answer_model.model_fields
    return {"confidence": taken.confidence} if told else {}


def _receipt(
    item: "LabelledItem", by: str, word: str, why: str, deployment: str | None
) -> dict[str, Any]:
    """Who decided, and what the models' answers have cost; the person costs nothing here."""
    spent = NanoUSD(item.spent)
    return {
        "item": item.id,
        "task": item.task,
        "tier": "review",
        "deployment": deployment or "person",
        "model_asked": deployment or "person",
        "model_served": deployment or "person",
        "other_model": False,
        "attempts": item.calls,
        "tokens": {"input": 0, "output": 0, "estimated": False},
        "cost": format_usd(spent),
        "cost_nanousd": item.spent,
        "seconds": 0.0,
        "confidence": None,
        "why": [why],
        "prompt_version": item.prompt or ItemTask.declared[item.task].prompt_version,
        "sensitivity": item.sensitivity,
        "degraded_from": None,
        "stands_in_for": None,
        "simulated": False,
        "review": {"decision": word, "by": by},
    }
