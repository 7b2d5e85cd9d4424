"""What a person does in the machine of the ledger's moves: decide, or let time run out."""

from collections import Counter
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from tierqueue.ledger.evaluation import labels, reviews
from tierqueue.ledger.evaluation.reviews import Decision
from tierqueue.ledger.lifecycle.claims import Claim
from tierqueue.ledger.lifecycle.items import Death
from tierqueue.ledger.session import Ledger
from tierqueue.router.lifecycle import State

_WORDS = ("accepted", "corrected", "rejected")


class ReviewRules(RuleBasedStateMachine):
    """Rules of reviews; the machine has the ledger, the clock, and what must be true."""

    seen: ClassVar[Counter[str]]
    ledger: Ledger
    now: int
    answers: dict[str, int]
    given: list[Claim]

    def _ended(self, endings: list[Any]) -> None:
        raise NotImplementedError

    def settle(self, data: st.DataObject, outcome: str, cost: int) -> None:
        raise NotImplementedError

    @precondition(lambda self: self.given)
    @rule(data=st.data(), word=st.sampled_from(_WORDS))
    def doubt(self, data: st.DataObject, word: str) -> None:
        """No tier is sure enough, and somebody decides at once."""
        self.settle(data, "doubtful", 40)
        self.decide(word)

    @rule(word=st.sampled_from(_WORDS))
    def decide(self, word: str) -> None:
        """A person decides what waits for one; nothing that it holds or costs changes."""
        with self.ledger.write() as connection:
            for parked in reviews.pending(connection, most=1):
                item = labels.judgeable(connection, parked.item)
                assert item is not None
                stated: dict[str, Any] = {"output": {"by": item.fence}, "receipt": {}}
                if word == "rejected":
                    stated = {"death": Death(item.id, "rejected", "no", {})}
                decision = Decision(word=word, by="ada", of="small", **stated)
                self._ended(reviews.decide(connection, item, decision).ended)
                self.seen["decided"] += 1
                if word != "rejected":
                    self.answers[item.id] = item.fence

    @rule()
    def give_up_reviews(self) -> None:
        with self.ledger.write() as connection:
            ends = reviews.end_overdue(connection, self.now, 10)
            assert all(ending.state == State.DEAD for ending in ends.ended)
        self._ended(ends.ended)
