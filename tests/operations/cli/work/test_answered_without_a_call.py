"""Items that no model was asked for: every command says by the same word who answered."""

from typing import Any

import pytest

from tests.ledger.placed import place
from tests.operations.cli.command import Command
from tierqueue.ledger.session import Ledger

WHY = "a surrogate answered: certified to agree with the model on 95.0% of what it answers"


@pytest.fixture(params=["surrogate", "rule"])
def who(request: pytest.FixtureRequest) -> str:
    """Who answers without a call."""
    return str(request.param)


@pytest.fixture
def item_id(ledger: Ledger, who: str) -> str:
    """An item that was answered so."""
    receipt = {"tier": who, "deployment": f"{who}-0f34", "why": [WHY]}
    route: dict[str, Any] = {"tier": "gpu", "deployment": "house", "bound": 5, "reasons": []}
    return place(
        ledger,
        "succeeded",
        tier=who,
        deployment=None,
        bound=None,
        stated={},
        policy="p",
        receipt=receipt,
        route=route,
        output={"label": "login"},
    )


def test_a_list_can_be_of_what_was_answered_so(
    tierqueue: Command, ledger: Ledger, item_id: str, who: str
) -> None:
    place(ledger, "succeeded")
    [row] = tierqueue.json("item", "list", "--tier", who)
    assert (row["item"], row["tier"]) == (item_id, who)


def test_why_says_that_no_model_was_called(tierqueue: Command, item_id: str, who: str) -> None:
    said = " ".join(tierqueue("why", item_id).split())
    assert f"nowhere: a {who} answered, and no model was called" in said
    assert WHY in said
    assert "house (gpu)" not in said
    assert WHY in " ".join(tierqueue("item", "show", item_id).split())


@pytest.mark.usefixtures("item_id")
def test_spend_counts_what_was_answered_without_a_call(tierqueue: Command, who: str) -> None:
    assert f"answered without a call: 1 by a {who}" in tierqueue("spend")
    assert tierqueue.json("spend")["without_a_call"] == {who: 1}
