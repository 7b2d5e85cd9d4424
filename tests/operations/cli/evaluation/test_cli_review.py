"""``tierqueue review``."""

from tests.ledger.moves import SECOND, Moves, settlement
from tests.operations.cli.command import Command
from tierqueue.ledger.lifecycle.settlements import Parking
from tierqueue.ledger.session import Ledger
from tierqueue.router.lifecycle import State


def _parked(moves: Moves) -> str:
    (claim,) = moves.running(arguments={"text": "my card", "labels": ["card", "login"]})
    moves.settle(
        settlement(
            claim,
            outcome="rejected",
            next_state=State.REVIEW,
            reason="low_confidence",
            output=None,
            receipt=None,
            detail={"reasons": ["not sure"]},
            confidence=0.25,
            refused={"label": "login"},
            parked=Parking(due=moves.now() + 1_800 * SECOND, assignee="claims"),
        )
    )
    return claim.item.id


def test_what_waits_is_listed_shown_and_decided(tierqueue: Command, ledger: Ledger) -> None:
    moves = Moves(ledger)
    first, second, third = (_parked(moves) for _ in range(3))
    listed = tierqueue.json("review", "list", "--assignee", "claims")
    assert [one["item"] for one in listed] == [first, second, third]
    assert listed[0]["spent_nanousd"] == 70
    assert tierqueue("review", "list").count("low_confidence") == 3
    assert tierqueue.json("review", "list", "--task", "other") == []
    out = tierqueue("review", "show", first)
    assert "text: my card" in out
    assert "small, confidence 0.25: not sure" in out
    assert '{"label":"login"}' in out.replace(" ", "")
    told = tierqueue.json("review", "show", first)
    assert told["answers"][0]["answer"] == {"label": "login"}
    status, said, _ = tierqueue.run("doctor")
    assert status == 1
    assert "3 items wait for a person's decision" in " ".join(said.split())
    assert "accepted" in tierqueue("review", "accept", first)
    assert tierqueue.json("review", "correct", second, "card")["decision"] == "corrected"
    tierqueue("review", "reject", third, "--why", "not ours")
    assert [moves.row(one).state for one in (first, second, third)] == [
        "succeeded",
        "succeeded",
        "dead",
    ]
    assert tierqueue.json("review", "list") == []
    assert tierqueue("actions").count("review") == 3


def test_what_waits_for_nobody_is_complained_of(tierqueue: Command, ledger: Ledger) -> None:
    (item_id,) = Moves(ledger).submit()
    assert "waits for no review" in tierqueue.complaint("review", "show", item_id)
    assert "waits for no review" in tierqueue.complaint("review", "accept", item_id)


def test_an_item_is_given_to_somebody_and_another_time(tierqueue: Command, ledger: Ledger) -> None:
    moves = Moves(ledger)
    item = _parked(moves)
    due = tierqueue.json("review", "list")[0]["due_epoch_us"]
    told = tierqueue.json("review", "assign", item, "--to", "ada", "--within", "5m")
    assert told["assignee"] == "ada"
    (one,) = tierqueue.json("review", "list", "--assignee", "ada")
    assert (one["item"], one["due_epoch_us"]) == (item, told["due_epoch_us"])
    assert told["due_epoch_us"] < due
    assert f"item {item}: beth's, to be decided by" in tierqueue(
        "review", "assign", item[:20], "--to", "beth"
    )
    assert tierqueue.json("review", "list")[0]["due_epoch_us"] == told["due_epoch_us"]
    assert "assignee ada, due" in " ".join(tierqueue("actions").split())
    assert "say to whom" in tierqueue.complaint("review", "assign", item)
    said = tierqueue.complaint("review", "assign", item, "--within", "soon")
    assert "is not a duration" in said
    tierqueue("review", "accept", item)
    assert "waits for no review" in tierqueue.complaint("review", "assign", item, "--to", "ada")
