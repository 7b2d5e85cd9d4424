"""Items that no model was asked for: every command says by the same word who answered."""

from typing import Any

import pytest

from tests.ledger.placed import place
from tests.operations.cli.command import Command
from tierqueue.ledger.session import Ledger

WHY = "a surrogate answered: certified to agree with the model on 95.0% of what it answers"


@pytest.fixture
def item_id(ledger: Ledger) -> str:
    """An item that a surrogate answered."""
    receipt = {"tier": "surrogate", "deployment": "surrogate-0f34", "why": [WHY]}
    route: dict[str, Any] = {"tier": "gpu", "deployment": "house", "bound": 5, "reasons": []}
    return place(
        ledger,
        "succeeded",
        tier="surrogate",
        deployment=None,
        bound=None,
        stated={},
        policy="p",
        receipt=receipt,
        route=route,
        output={"label": "login"},
    )


def test_a_list_can_be_of_what_a_surrogate_answered(
    tierqueue: Command, ledger: Ledger, item_id: str
) -> None:
    place(ledger, "succeeded")
    [row] = tierqueue.json("item", "list", "--tier", "surrogate")
    assert (row["item"], row["tier"]) == (item_id, "surrogate")


def test_why_says_that_no_model_was_called(tierqueue: Command, item_id: str) -> None:
    said = " ".join(tierqueue("why", item_id).split())
    assert "nowhere: a surrogate answered, and no model was called" in said
    assert WHY in said
    assert "house (gpu)" not in said
    assert WHY in " ".join(tierqueue("item", "show", item_id).split())


def test_spend_counts_what_was_answered_without_a_call(tierqueue: Command, item_id: str) -> None:
    assert "answered without a call: 1 by a surrogate" in tierqueue("spend")
    assert tierqueue.json("spend")["without_a_call"] == {"surrogate": 1}
