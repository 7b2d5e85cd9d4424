"""``tierqueue feedback``."""

from tests.ledger.placed import place
from tests.operations.cli.command import Command
from tierqueue.ledger.evaluation import labels
from tierqueue.ledger.session import Ledger


def test_an_answer_is_judged_and_corrected_from_the_command_line(
    tierqueue: Command, ledger: Ledger
) -> None:
    classified = {
        "task": "tierqueue.classify",
        "arguments": {"text": "my card", "labels": ["card", "login"]},
    }
    item_id = place(ledger, "succeeded", **classified, output={"label": "login"})
    assert "its answer was right" in tierqueue("feedback", item_id, "--correct")
    told = tierqueue.json("feedback", item_id, "--corrected", "card")
    assert told == {"item": item_id, "correct": False, "corrected": True}
    with ledger.read() as connection:
        found = labels.of_item(connection, item_id)
    assert found is not None
    assert found.corrected == {"label": "card", "confidence": None}
    tierqueue("feedback", item_id[:18], "--corrected", '{"label": "login"}')
    assert "feedback" in tierqueue("actions")


def test_what_cannot_be_said_is_complained_of(tierqueue: Command, ledger: Ledger) -> None:
    item_id = place(ledger, "succeeded", output={"text": "x"})
    assert "say whether" in tierqueue.complaint("feedback", item_id)
    assert "there is no item" in tierqueue.complaint("feedback", "nobody", "--wrong")
