"""What operators did to an item, and how it had ended before, in its timeline and the record."""

import pytest

from tests.ledger.moves import Moves, new_item, promise_of
from tests.operations.cli.command import Command
from tierqueue.ledger.lifecycle.items import Death, die, submit
from tierqueue.ledger.operations import dead_letters
from tierqueue.ledger.results import promises
from tierqueue.ledger.session import Ledger


@pytest.fixture
def moves(ledger: Ledger) -> Moves:
    return Moves(ledger)


def test_what_operators_did_and_who_was_told_is_in_the_timeline(
    tierqueue: Command, moves: Moves
) -> None:
    new = new_item()
    with moves.ledger.write() as connection:
        promise = promise_of(new.id, "celery-1")
        submit(connection, new, promise)
        die(connection, [Death(new.id, "no_route", "nothing fits it", {})], moves.now())
        promises.note_fulfilled(connection, [promise], moves.now())
    assert "told       Celery task celery-1" in tierqueue("item", "show", new.id)
    with moves.ledger.write() as connection:
        dead_letters.replay(connection, [new.id], "ana")
        dead_letters.discard(connection, [new.id], "nobody")
    said = tierqueue("item", "show", new.id)
    assert "replay     by ana" in said
    assert "by nobody" not in said
    assert tierqueue.json("item", "show", new.id)["actions"][0]["by"] == "ana"


def test_what_an_operator_did_is_said_in_dollars(tierqueue: Command, moves: Moves) -> None:
    new = new_item()
    with moves.ledger.write() as connection:
        submit(connection, new, promise_of(new.id))
        die(connection, [Death(new.id, "cost_ceiling", "too expensive", {})], moves.now())
    with moves.ledger.write() as connection:
        wanted = dead_letters.DeadLetterQuery(reason="cost_ceiling", since=0)
        died_at = moves.row(new.id).ended_at
        dead_letters.replay(connection, [new.id], "ana", max_cost=50_000_000, chosen_by=wanted)
    assert "by ana, max_cost $0.05" in tierqueue("item", "show", new.id)
    [_, said] = tierqueue("actions").splitlines()
    assert "max_cost $0.05" in said
    assert "filters reason cost_ceiling, since 1970-01-01" in said
    assert "deaths 1 cost_ceiling" in said
    told = tierqueue.json("actions")[0]["detail"]
    assert told == {
        "items": [new.id],
        "max_cost_nanousd": 50_000_000,
        "filters": {"reason": "cost_ceiling", "since_epoch_us": 0},
        "deaths": [{"item": new.id, "reason": "cost_ceiling", "ended_at_epoch_us": died_at}],
    }


def test_the_timeline_keeps_every_death_before_a_replay(tierqueue: Command, moves: Moves) -> None:
    new = new_item()
    with moves.ledger.write() as connection:
        submit(connection, new, promise_of(new.id))
        die(connection, [Death(new.id, "no_route", "nothing fits it", {})], moves.now())
        dead_letters.replay(connection, [new.id], "ana")
        die(connection, [Death(new.id, "deadline", "too late", {})], moves.now())
        dead_letters.discard(connection, [new.id], "ben")
    lines = tierqueue("item", "show", new.id).splitlines()
    words = [line[14:].split() for line in lines if line[14:23].strip() in ("dead", "replay")]
    assert words == [["dead", "no_route"], ["replay", "by", "ana"], ["dead", "deadline"]]
    told = tierqueue.json("item", "show", new.id)["actions"]
    assert [act["former"]["reason"] for act in told] == ["no_route", "deadline"]
