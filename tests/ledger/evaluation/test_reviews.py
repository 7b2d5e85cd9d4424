"""Reviews: parked without money or worker, decided once, and loud where nobody decides."""

from typing import Any

from sqlalchemy import select

from tests.ledger.moves import SECOND, Moves, promise_of, settlement
from tierqueue.ledger import audit_log
from tierqueue.ledger.accounting import audit
from tierqueue.ledger.evaluation import labels, reviews
from tierqueue.ledger.evaluation.labels import Label
from tierqueue.ledger.evaluation.reviews import Decision
from tierqueue.ledger.in_force import evidence
from tierqueue.ledger.in_force.evidence import JudgedAnswer
from tierqueue.ledger.lifecycle import items
from tierqueue.ledger.lifecycle.claims import Claim
from tierqueue.ledger.lifecycle.deaths import end_overdue
from tierqueue.ledger.lifecycle.items import Death
from tierqueue.ledger.lifecycle.settlements import Parking
from tierqueue.ledger.operations import dead_letters, erasure
from tierqueue.ledger.results import promises
from tierqueue.ledger.results.promises import Ends
from tierqueue.ledger.tables import items as rows
from tierqueue.ledger.tables import refused_answers
from tierqueue.router.lifecycle import State

TASK = "tierqueue.classify"


def park(moves: Moves, *, due: int | None = None, assignee: str | None = None) -> Claim:
    """An item whose answer was refused, and which waits for a person."""
    (claim,) = moves.running()
    doubt = settlement(
        claim,
        outcome="rejected",
        next_state=State.REVIEW,
        reason="low_confidence",
        output=None,
        receipt=None,
        confidence=0.25,
        detail={"reasons": ["the confidence is below 0.9"]},
        judged=JudgedAnswer(TASK, "small", False, 10, 2, 0.5),
        refused={"label": "login"},
        parked=Parking(due=due or moves.now() + 3_600 * SECOND, assignee=assignee),
    )
    moves.settle(doubt)
    return claim


def decide(moves: Moves, claim: Claim, word: str, **stated: Any) -> Ends:
    with moves.ledger.write() as connection:
        item = labels.judgeable(connection, claim.item.id)
        assert item is not None
        return reviews.decide(connection, item, Decision(word=word, by="ada", of="small", **stated))


def test_what_is_parked_holds_no_money_and_is_nobodys_work(moves: Moves) -> None:
    claim = park(moves, assignee="claims")
    row = moves.row(claim.item.id)
    assert (row.state, row.reason, row.held) == ("review", "low_confidence", 0)
    assert (row.ended_at, row.lease_until) == (None, None)
    assert moves.wake() == 0
    assert moves.queue() == {}
    with moves.ledger.write() as connection:
        (found,) = reviews.pending(connection, assignee="claims", task=TASK, most=10)
        assert reviews.pending(connection, assignee="others", most=10) == []
        (refused,) = reviews.refused(connection, claim.item.id)
        assert audit.audit(connection) == []
        assert end_overdue(connection, moves.now() - 1, 10).ended == []
    assert (found.item, found.assignee, found.reason) == (
        claim.item.id,
        "claims",
        "low_confidence",
    )
    assert (refused.deployment, refused.answer) == ("small", {"label": "login"})
    assert (refused.confidence, refused.reasons) == (0.25, ("the confidence is below 0.9",))


def test_what_a_person_takes_comes_true_and_is_evidence_after_all(moves: Moves) -> None:
    claim = park(moves)
    with moves.ledger.write() as connection:
        promises.make_once(connection, promise_of(claim.item.id, "owed"), 1)
    ends = decide(moves, claim, "accepted", output={"label": "login"}, receipt={"tier": "review"})
    assert [promise.id for promise in ends.owed] == ["owed"]
    assert ends.ended[0].answer == {"output": {"label": "login"}, "receipt": {"tier": "review"}}
    row = moves.row(claim.item.id)
    assert (row.state, row.output) == ("succeeded", {"label": "login"})
    with moves.ledger.read() as connection:
        assert labels.of_item(connection, claim.item.id) == Label(correct=True, by="ada")
        assert evidence.by_task(connection)[TASK]["small"].accepted == 1
        assert reviews.of_item(connection, claim.item.id) is None
        assert audit_log.newest(connection, 1)[0].what == "review"


def test_a_correction_is_a_label(moves: Moves) -> None:
    claim = park(moves)
    decide(moves, claim, "corrected", output={"label": "card"}, receipt={"tier": "review"})
    with moves.ledger.read() as connection:
        said = labels.of_item(connection, claim.item.id)
        assert evidence.by_task(connection)[TASK]["small"].accepted == 0
    assert said == Label(correct=False, by="ada", corrected={"label": "card"})


def test_what_a_person_rejects_is_dead_and_may_be_replayed(moves: Moves) -> None:
    claim = park(moves)
    death = Death(claim.item.id, "rejected", "ada rejected it", {})
    (ending,) = decide(moves, claim, "rejected", death=death).ended
    assert ending.state is State.DEAD
    assert moves.row(claim.item.id).reason == "rejected"
    with moves.ledger.write() as connection:
        assert dead_letters.replay(connection, [claim.item.id], "ada") == [claim.item.id]
    assert moves.row(claim.item.id).state == "submitted"


def test_nobody_in_time_is_a_dead_letter(moves: Moves) -> None:
    late, early = park(moves, due=moves.now() - SECOND, assignee="claims"), park(moves)
    with moves.ledger.write() as connection:
        soon = reviews.waiting(connection, moves.now())
        ends = reviews.end_overdue(connection, moves.now(), 10)
        assert reviews.end_overdue(connection, moves.now(), 10).ended == []
    assert (soon.items, soon.soon) == (2, 1)
    assert [(ending.item_id, ending.state) for ending in ends.ended] == [(late.item.id, State.DEAD)]
    row = moves.row(late.item.id)
    assert (row.reason, (row.error or {})["fields"]["review"]) == ("deadline", True)
    assert "claims has not decided its review" in (row.error or {})["message"]
    assert moves.row(early.item.id).state == "review"


def test_it_can_be_cancelled_and_its_answers_go_with_it(moves: Moves) -> None:
    claim = park(moves)
    with moves.ledger.write() as connection:
        (ending,) = items.cancel(connection, [claim.item.id], "ada").ended
        assert reviews.waiting(connection, moves.now()).first_due is None
        erasure.erase(connection, [claim.item.id], "ada", "asked")
        assert connection.execute(select(refused_answers)).all() == []
    assert ending.state is State.CANCELLED


def test_one_that_was_cancelled_while_it_ran_is_not_parked(moves: Moves) -> None:
    (claim,) = moves.running()
    with moves.ledger.write() as connection:
        items.cancel(connection, [claim.item.id], "ada")
    parked = Parking(due=moves.now() + SECOND)
    moves.settle(
        settlement(
            claim,
            outcome="rejected",
            next_state=State.REVIEW,
            output=None,
            receipt=None,
            parked=parked,
        )
    )
    with moves.ledger.read() as connection:
        assert reviews.pending(connection, most=10) == []
    assert moves.row(claim.item.id).state == "cancelled"


def test_a_stale_worker_parks_nothing(moves: Moves) -> None:
    claim = park(moves)
    decide(moves, claim, "corrected", output={"label": "card"}, receipt={})
    stale = settlement(
        claim,
        outcome="rejected",
        next_state=State.REVIEW,
        output=None,
        receipt=None,
        refused={"label": "x"},
        parked=Parking(due=1),
    )
    assert moves.settle(stale).stale
    with moves.ledger.read() as connection:
        state = select(rows.c.state).where(rows.c.id == claim.item.id)
        assert connection.execute(state).scalar_one() == "succeeded"
        assert len(reviews.refused(connection, claim.item.id)) == 1
