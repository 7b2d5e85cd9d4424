"""``tierqueue why``: the decision about one item, for people and for scripts."""

from typing import Any

import pytest

from tests.fork_server import ForkServer
from tests.ledger.moves import Moves, settlement
from tests.ledger.placed import place
from tests.operations.cli.command import Command
from tests.operations.cli.terminal import in_terminal
from tierqueue.ledger.in_force import policies
from tierqueue.ledger.lifecycle.items import Death, die
from tierqueue.ledger.session import Ledger
from tierqueue.router.lifecycle import State

ROUTE = {
    "terms": "",
    "tier": "gpu",
    "deployment": "small",
    "bound": 100,
    "input_tokens": 588,
    "output_tokens": 50,
    "reasons": ["the cheapest of 2 that satisfy every demand"],
    "refusals": [{"deployment": "best", "rule": "dearer", "why": "it can cost $0.01"}],
}


@pytest.fixture
def moves(ledger: Ledger) -> Moves:
    return Moves(ledger)


def answered(moves: Moves, **stated: Any) -> str:
    """An item that its first tier answered."""
    [item_id] = moves.submit(**stated)
    moves.route(route=ROUTE, policy="old", stated={"max_cost": 5_000_000})
    [claim] = moves.claim(moves.queue()).claimed
    moves.settle(settlement(claim, seconds=1.5, confidence=0.97))
    return item_id


def test_why_names_the_choice_the_refusals_and_what_was_tried(
    tierqueue: Command, moves: Moves
) -> None:
    item_id = answered(moves, max_cost=5_000_000)
    said = tierqueue("why", item_id)
    assert "a prompt of 300 bytes in 2 messages" in said
    assert "max_cost $0.005, by the item itself" in said
    assert "risk internal, by the policy" in said
    assert "small (gpu), for $0.0000001 at the most" in said
    assert "best: it can cost $0.01 [more_expensive]" in said
    assert "1. small (gpu): the answer was accepted; $0.00000007 in 1.5 s, confidence 0.970" in said


def test_why_shows_nothing_of_what_was_asked_and_answered(tierqueue: Command, moves: Moves) -> None:
    item_id = answered(moves, arguments={"text": "my secret"})
    for said in (tierqueue("why", item_id), str(tierqueue.json("why", item_id))):
        assert "my secret" not in said
        assert "label" not in said


def test_why_says_that_the_policy_has_changed_since(tierqueue: Command, moves: Moves) -> None:
    item_id = answered(moves)
    with moves.ledger.write() as connection:
        policies.start(connection, "new", moves.now())
    assert "policy old; the one in force now is new" in tierqueue("why", item_id)
    told = tierqueue.json("why", item_id)
    assert (told["policy"], told["policy_in_force"]) == ("old", "new")


def test_why_tells_scripts_the_same(tierqueue: Command, moves: Moves) -> None:
    item_id = answered(moves)
    told = tierqueue.json("why", item_id)
    assert told["signals"]["prompt_bytes"] == 300
    assert told["chosen"]["bound_nanousd"] == 100
    assert told["refusals"][0]["rule"] == "more_expensive"
    assert told["attempts"][0]["confidence"] == 0.97
    assert told["spent_nanousd"] == 70


def test_an_item_that_nobody_looked_at_yet_has_no_reasons(tierqueue: Command, moves: Moves) -> None:
    [item_id] = moves.submit()
    assert "the routing stage has not looked at it" in tierqueue("why", item_id)
    assert tierqueue.json("why", item_id)["chosen"] is None


def test_an_item_without_a_route_says_who_was_looked_at(tierqueue: Command, moves: Moves) -> None:
    [item_id] = moves.submit()
    refusals = [{"deployment": "best", "rule": "boundary", "why": "it stays in the house"}]
    with moves.ledger.write() as connection:
        death = Death(item_id, "no_route", "nothing fits", {"refusals": refusals})
        die(connection, [death], moves.now())
    said = tierqueue("why", item_id)
    assert "nothing fits" in said
    assert "best: it stays in the house [boundary]" in said


def test_an_item_that_climbed_says_whose_answer_was_refused(
    tierqueue: Command, moves: Moves
) -> None:
    [claim] = moves.running()
    refused = settlement(
        claim,
        outcome="rejected",
        next_state=State.SUBMITTED,
        reason="escalated",
        output=None,
        receipt=None,
        refused_by=("gpu",),
        detail={"reasons": ["confidence 0.4 is below 0.9"]},
    )
    moves.settle(refused)
    said = tierqueue("why", claim.item.id)
    assert "refused so far: the answer of gpu" in said
    assert "the answer was refused (confidence 0.4 is below 0.9)" in said


@pytest.mark.processes
def test_why_fits_a_terminal_of_80_columns(
    forks: ForkServer, tierqueue: Command, moves: Moves
) -> None:
    del tierqueue
    [item_id] = moves.submit()
    moves.route(route={**ROUTE, "reasons": ["because " * 40]})
    screen = in_terminal(forks, 80, "why", item_id)
    assert "because because" in screen
    assert all(len(line) <= 80 for line in screen.splitlines())


def test_why_says_of_a_second_item_that_it_is_guarded_as_the_first_and_of_no_chain(
    tierqueue: Command, ledger: Ledger
) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"second_to": "item-0", "purpose": "shadow"}, "the item that it answers a second time"),
        ({}, "what stood before it in its chain"),
    ]
    for stated, before in cases:
        item_id = place(ledger, "submitted", inherits="confidential", **stated)
        said = " ".join(tierqueue("why", item_id).split())
        assert f"at least as guarded as {before}: confidential" in said
