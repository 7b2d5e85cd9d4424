"""``tierqueue router compare``, and what ``why`` says of second answers."""

from typing import Any

from sqlalchemy import insert

from tests.ledger.placed import place
from tests.operations.cli.command import Command
from tierqueue.ledger.evaluation import labels
from tierqueue.ledger.evaluation.labels import Label
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import attempts

TASK = "tierqueue.classify"


def _called(ledger: Ledger, item_id: str, outcome: str, seconds: float) -> None:
    call: dict[str, Any] = {
        "item_id": item_id,
        "fence": 1,
        "tier": "gpu",
        "deployment": "d",
        "worker": "w",
        "metered": True,
        "balances": [],
        "held": 0,
        "started_at": 1,
        "ended_at": 2,
        "outcome": outcome,
        "cost": 10,
        "seconds": seconds,
    }
    with ledger.write() as connection:
        connection.execute(insert(attempts).values(call))


def _pair(
    ledger: Ledger, number: int, said: str, again: str | None, state: str = "succeeded"
) -> tuple[str, str]:
    """An item that was answered with ``said``, and a second one."""
    asked = {"task": TASK, "arguments": {"text": "x", "labels": ["a", "b"]}}
    first = place(
        ledger,
        "succeeded",
        **asked,
        id=f"first-{number}",
        deployment="best",
        spent=1_000_000,
        output={"label": said, "confidence": 0.9},
    )
    second = place(
        ledger,
        state,
        **asked,
        id=f"second-{number}",
        deployment="pilot",
        spent=200_000 + number,
        purpose="shadow",
        candidate="pilot",
        pinned="gpu",
        second_to=first,
        output=None if again is None else {"label": again, "confidence": None},
        reason="deadline" if state == "dead" and number == 9 else None,
    )
    _called(ledger, first, "accepted", 2.0)
    if state == "succeeded":
        _called(ledger, second, "accepted", 0.5)
    elif number != 9 and state == "dead":
        _called(ledger, second, "rejected", 0.5)
    return first, second


def test_second_answers_are_compared_with_the_first(tierqueue: Command, ledger: Ledger) -> None:
    judged = [_pair(ledger, n, "a", "a" if n else "b")[0] for n in range(4)]
    _pair(ledger, 8, "a", None, "dead")  # its answer was refused
    _pair(ledger, 9, "a", None, "dead")  # no answer came: that says nothing of it
    _pair(ledger, 10, "a", None, "submitted")
    with ledger.write() as connection:
        for n, first in enumerate(judged):
            item = labels.judgeable(connection, first)
            assert item is not None
            corrected = None if n else {"label": "b", "confidence": None}
            labels.put(connection, item, Label(correct=bool(n), by="ada", corrected=corrected))
    (found,) = tierqueue.json("router", "compare", TASK)
    assert (found["purpose"], found["first"], found["second"]) == ("shadow", "best", "pilot")
    assert (found["answers"], found["waiting"], found["failed"]) == (5, 1, {"deadline": 1})
    assert found["accepted"]["value"] == 0.8
    assert found["agree"]["value"] == 0.75
    assert found["agree"]["low"] < 0.75 < found["agree"]["high"]
    assert found["cost_nanousd"]["first"] == 1_000_000
    assert found["cost_nanousd"]["more"]["value"] < -799_000
    assert found["cost_nanousd"]["more"]["high"] < 0
    assert (found["seconds"]["first"], found["seconds"]["second"]) == (2.0, 0.5)
    # The second one was right where the first was corrected, and as right elsewhere.
    assert (found["right"]["items"], found["right"]["first"]) == (4, 0.75)
    assert found["right"]["second"] == 1.0
    out = tierqueue("router", "compare", TASK)
    assert "pilot beside best: an item costs -$0.0008" in out
    assert "1 second answer to come" in out
    assert "without an answer, and not counted: 1 deadline" in out


def test_without_second_answers_there_is_nothing_to_compare(tierqueue: Command) -> None:
    assert tierqueue.json("router", "compare", TASK) == []
    assert "there is no task type" in tierqueue.complaint("router", "compare", "nothing")


def test_why_tells_of_second_answers_on_both_sides(tierqueue: Command, ledger: Ledger) -> None:
    first, second = _pair(ledger, 1, "a", "b")
    out = tierqueue("why", first)
    assert f"{second} answers it a second time: shadow at pilot, succeeded" in out
    assert tierqueue.json("why", first)["answered_again"] == [
        {"item": second, "purpose": "shadow", "asked": "pilot", "state": "succeeded"}
    ]
    assert f"it answers a second time what {first} was accepted for" in tierqueue("why", second)
    assert tierqueue.json("why", second)["second_to"] == first


def test_what_second_answers_cost_is_told_by_purpose(tierqueue: Command, ledger: Ledger) -> None:
    _pair(ledger, 1, "a", "b")
    groups = {
        one["key"]: one["items"] for one in tierqueue.json("spend", "--by", "purpose")["groups"]
    }
    assert groups == {"shadow": 1, "work": 1}
