"""``tierqueue batch``: what was handed over, and what came of it."""

from dataclasses import replace

from tests.ledger.moves import WORKER, Moves, settlement
from tests.operations.cli.command import Command
from tierqueue.ledger.lifecycle import batches, claims
from tierqueue.ledger.session import Ledger


def formed(url: str, name: str) -> list[str]:
    """A batch of two items, one of which has been answered; their ids."""
    ledger = Ledger(url)
    moves = Moves(ledger)
    try:
        later = moves.now() + 10**12
        ids = sorted(moves.submit(2, deadline=later))
        moves.route(reason="batch", lane="batch", state="waiting", ready_at=later)
        with ledger.write() as connection:
            wanted = batches.candidates(connection, WORKER.deployment, 10, ())
            known = claims.read(connection, wanted)
            now = moves.now()
            by = replace(WORKER, batch=name)
            claimed = claims.claim(connection, by, wanted, known, now).claimed
            batches.form(connection, name, WORKER.deployment, claimed, "w", now, 1)
        moves.settle(settlement(claimed[0]))
        return ids
    finally:
        ledger.close()


def test_batches_are_listed_with_what_they_hold(tierqueue: Command, ledger_url: str) -> None:
    assert tierqueue.json("batch", "list") == []
    formed(ledger_url, "01a-first")
    [told] = tierqueue.json("batch", "list", "--open")
    assert (told["batch"], told["state"], told["size"]) == ("01a-first", "collected", 2)
    assert (told["held_nanousd"], told["counts"]) == (200, None)
    assert "01a-first" in tierqueue("batch", "list")


def test_one_is_shown_with_its_items(tierqueue: Command, ledger_url: str) -> None:
    ids = formed(ledger_url, "01a-first")
    shown = tierqueue.json("batch", "show", "01a")
    assert shown["cost_nanousd"] == 70
    assert {(item["item_id"], item["outcome"]) for item in shown["items"]} == {
        (ids[0], "accepted"),
        (ids[1], None),
    }
    text = tierqueue("batch", "show", "01a")
    assert "not known yet" in text
    assert "$0.0000002 held" in text
    assert "there is no batch" in tierqueue.complaint("batch", "show", "nobody")


def test_what_is_in_batches_is_in_status_and_no_call_that_runs(
    tierqueue: Command, ledger_url: str
) -> None:
    formed(ledger_url, "01a-first")
    ledger = Ledger(ledger_url)
    try:
        from tierqueue.ledger.monitoring import backlog

        with ledger.read() as connection:
            [waits] = backlog.waiting(connection, 10**16)
            assert backlog.running(connection, 10**16) == []
    finally:
        ledger.close()
    assert (waits.code, waits.items) == ("handed_over", 1)
