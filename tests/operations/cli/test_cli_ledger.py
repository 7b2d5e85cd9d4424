"""The commands that read and move what is in the ledger."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from tests.ledger.moves import Moves
from tests.ledger.placed import commit
from tests.operations.cli.command import Command
from tierqueue.ledger.ceilings import books
from tierqueue.ledger.lifecycle import items
from tierqueue.ledger.lifecycle.items import Death, die, new_id
from tierqueue.ledger.operations import erasure
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import balances
from tierqueue.ledger.tables import items as item_table
from tierqueue.router.money import NanoUSD
from tierqueue.router.policy.tables import CeilingRule
from tierqueue.tasks import classify

POLICY = "[tiers.gpu]\nconcurrency = 7\n"


@pytest.fixture
def tierqueue(command: Callable[[str], Command], sqlite_url: str) -> Command:
    return command(sqlite_url)


@pytest.fixture
def ledger(sqlite_url: str) -> Iterator[Ledger]:
    opened = Ledger(sqlite_url)
    yield opened
    opened.close()


def dead(ledger: Ledger, reason: str, **demands: Any) -> str:
    """A dead letter."""
    item_id = new_id()
    call = {"text": "a secret", "labels": ["a", "b"], **demands}
    with ledger.write() as connection:
        commit(connection, [classify.new_item((), call, item_id=item_id)])
        death = Death(item_id, reason, f"it died of {reason}", {"item": item_id})
        die(connection, [death], database_now(connection))
    return item_id


def state(ledger: Ledger, item_id: str) -> str:
    with ledger.read() as connection:
        row = items.get(connection, item_id)
    assert row is not None
    return str(row.state)


def test_dead_letters_are_listed_by_filter(tierqueue: Command, ledger: Ledger) -> None:
    first = dead(ledger, "no_route", budget="blue")
    second = dead(ledger, "deadline", budget="red")
    everything = tierqueue.json("dead-letters", "list")
    assert {row["id"] for row in everything} == {first, second}
    assert [row["id"] for row in tierqueue.json("dead-letters", "list", "--budget", "red")] == [
        second
    ]
    assert tierqueue.json("dead-letters", "list", "--reason", "poison") == []
    table = tierqueue("dead-letters", "list", "--since", "1h")
    assert "it died of no_route" in table
    assert "a secret" not in table


def test_a_replay_first_only_says_what_it_would_do(tierqueue: Command, ledger: Ledger) -> None:
    item_id = dead(ledger, "no_route")
    assert "would replay 1 dead letter;" in tierqueue("dead-letters", "replay", item_id)
    assert state(ledger, item_id) == "dead"
    assert tierqueue.json("dead-letters", "replay", item_id, "--yes") == {
        "action": "replay",
        "no_way_back": 0,
        "erased": 0,
        "matching": 1,
        "done": 1,
        "dry_run": False,
    }
    assert state(ledger, item_id) == "submitted"


def test_a_replay_by_filter_leaves_the_others_dead(tierqueue: Command, ledger: Ledger) -> None:
    meant, other = dead(ledger, "cost_ceiling"), dead(ledger, "deadline")
    tierqueue("dead-letters", "replay", "--reason", "cost_ceiling", "--yes")
    assert (state(ledger, meant), state(ledger, other)) == ("submitted", "dead")


def test_what_was_never_an_item_is_not_replayed(tierqueue: Command, ledger: Ledger) -> None:
    item_id = dead(ledger, "invalid")
    complaint = tierqueue.complaint("dead-letters", "replay", item_id, "--yes")
    assert f"{item_id} is invalid and has no way back: submit it again" in complaint
    said = tierqueue("dead-letters", "replay", "--reason", "invalid", "--yes")
    assert said.splitlines() == [
        "replay: 0 of 0 dead letters",
        "1 more that are invalid or undecodable have no way back: submit it again, corrected",
    ]
    assert state(ledger, item_id) == "dead"


def test_a_discard_cancels_for_good(tierqueue: Command, ledger: Ledger) -> None:
    item_id = dead(ledger, "invalid")
    tierqueue("dead-letters", "discard", "--reason", "invalid")
    assert state(ledger, item_id) == "dead"
    tierqueue("dead-letters", "discard", "--reason", "invalid", "--yes")
    assert state(ledger, item_id) == "cancelled"


def test_an_erased_dead_letter_is_said_to_have_no_way_back_before_and_after(
    tierqueue: Command, ledger: Ledger
) -> None:
    erased, whole = (dead(ledger, "exhausted") for _ in range(2))
    with ledger.write() as connection:
        erasure.erase(connection, [erased], "ada", "asked for")
    replay = ("dead-letters", "replay")
    complaint = tierqueue.complaint(*replay, erased)
    assert complaint.startswith(f"error: {erased} was erased and has no way back")
    chosen = (*replay, "--reason", "exhausted")
    reason = "1 more that were erased have no way back: what was asked is gone"
    said = tierqueue(*chosen)
    assert "would replay 1 dead letter;" in said
    assert reason in said
    assert tierqueue.json(*chosen)["erased"] == 1
    said = tierqueue(*chosen, "--yes")
    assert "replay: 1 of 1 dead letter" in said
    assert reason in said
    assert state(ledger, whole) == "submitted"
    assert state(ledger, erased) == "dead"


def test_a_document_of_which_a_piece_was_erased_is_said_to_have_no_way_back(
    tierqueue: Command, ledger: Ledger
) -> None:
    document, piece = dead(ledger, "erased"), dead(ledger, "exhausted")
    with ledger.write() as connection:
        erasure.erase(connection, [piece], "ada", "asked for")
        for item_id, values in (
            (document, {"split": {"on_failure": "fail", "spans": [[0, 9]], "joined": []}}),
            (piece, {"part_of": document, "split": {"from": 0, "to": 1}}),
        ):
            of = update(item_table).where(item_table.c.id == item_id)
            connection.execute(of.values(**values))
    listed = tierqueue.json("dead-letters", "list", "--reason", "erased")
    assert [row["id"] for row in listed] == [document]
    said = "a piece that its document's answer needs was erased"
    assert said in tierqueue.complaint("dead-letters", "replay", document)
    chosen = ("dead-letters", "replay", "--reason", "erased")
    assert f"1 more have no way back: {said}" in tierqueue(*chosen)
    assert tierqueue.json(*chosen, "--yes")["erased"] == 1
    assert state(ledger, document) == "dead"


def test_a_replay_of_nothing_in_particular_is_refused(tierqueue: Command) -> None:
    assert "by their IDs or all that filters choose" in tierqueue.complaint(
        "dead-letters", "replay", "--yes"
    )


def test_an_item_that_is_not_dead_is_no_dead_letter(tierqueue: Command, ledger: Ledger) -> None:
    (item_id,) = Moves(ledger).submit()
    complaint = tierqueue.complaint("dead-letters", "replay", item_id, "--yes")
    assert complaint == f"error: {item_id} is not a dead letter\n"
    complaint = tierqueue.complaint("dead-letters", "replay", "no-such-item", "--yes")
    assert complaint == "error: there is no item no-such-item\n"


def test_an_item_is_shown_without_what_it_says_unless_asked(
    tierqueue: Command, ledger: Ledger
) -> None:
    item_id = dead(ledger, "no_route")
    shown = tierqueue("item", "show", item_id)
    assert "it died of no_route" in shown
    assert "a secret" not in shown
    assert "a secret" in tierqueue("dead-letters", "show", item_id, "--payload")
    assert tierqueue.json("item", "show", item_id)["attempts"] == []


def test_an_item_that_is_not_there_is_an_error(tierqueue: Command) -> None:
    assert tierqueue.complaint("item", "show", "none") == "error: there is no item none\n"


def test_concurrency_is_the_policys_until_an_operator_sets_it(tierqueue: Command) -> None:
    shown = tierqueue.json("concurrency", "show")[0]
    assert (shown["tier"], shown["concurrency"], shown["said_by"]) == ("gpu", 7, "policy")
    tierqueue("concurrency", "set", "gpu", "3")
    shown = tierqueue.json("concurrency", "show")[0]
    assert (shown["concurrency"], shown["said_by"]) == (3, "operator")
    assert tierqueue.json("concurrency", "show", "gpu") == [shown]
    assert "did you mean 'gpu'?" in tierqueue.complaint("concurrency", "show", "gpuu")
    (action,) = tierqueue.json("actions")
    assert (action["what"], action["detail"]) == ("concurrency", {"tier": "gpu", "calls": 3})


def test_ceilings_are_listed_as_they_stand(tierqueue: Command, ledger: Ledger) -> None:
    rule = CeilingRule.model_construct(
        scope="budget", name="*", window="day", timezone="UTC", limit=NanoUSD(5_000_000_000)
    )
    with ledger.write() as connection:
        now = database_now(connection)
        books.put(connection, rule, by="test", now=now)
        books.hold(connection, now, [books.Need("i", 1, 1_000_000_000, [("budget", "acme")])])
    (status,) = tierqueue.json("ceilings", "list")
    assert (status["name"], status["held_nanousd"], status["spent_nanousd"]) == (
        "acme",
        1_000_000_000,
        0,
    )
    assert "$4.00" in tierqueue("ceilings", "list")


def test_spend_counts_items_by_their_state(tierqueue: Command, ledger: Ledger) -> None:
    dead(ledger, "no_route")
    assert "items: 1 dead; cost $0.00" in tierqueue("spend", "--since", "1h")
    assert tierqueue.json("spend")["dead"] == {"no_route": 1}


def test_the_audit_says_yes_and_no(tierqueue: Command, ledger: Ledger) -> None:
    assert tierqueue("audit") == "the books balance\n"
    with ledger.write() as connection:
        connection.execute(
            balances.insert().values(
                id="budget:a:total:all",
                scope="budget",
                name="a",
                window="total",
                start="all",
                spent=5,
                held=0,
                peak=5,
            )
        )
    assert "budget:a:total:all" in tierqueue("audit", status=1)
    assert tierqueue.json("audit", status=1)["balanced"] is False


def test_a_job_is_submitted_read_and_cancelled(tierqueue: Command, tmp_path: Path) -> None:
    (tmp_path / "work.csv").write_text("text\nhello\n\nagain\n")
    (tmp_path / "labels.txt").write_text("good\nbad\n")
    words = ["job", "submit", "work.csv", "--task", "tierqueue.classify", "--column", "text"]
    submitted = tierqueue.json(*words, "--set", "labels=@labels.txt", "--max-cost", "2usd")
    assert (submitted["total"], submitted["malformed"]) == (2, 0)
    job = submitted["job"]
    shown = tierqueue("job", "results", job, "--format", "jsonl").splitlines()
    assert [(json.loads(line)["text"], json.loads(line)["error"]) for line in shown] == [
        ("hello", "not_ended: submitted"),
        ("again", "not_ended: submitted"),
    ]
    assert tierqueue.json("job", "cancel", job) == {"job": job, "cancelled": 2}
    last = tierqueue.json("job", "watch", job, status=1)
    assert last["states"] == {"cancelled": 2}
    tierqueue("job", "results", job, "-o", "out.jsonl", "--without-source")
    written = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(line)["state"] for line in written] == ["cancelled", "cancelled"]


@pytest.mark.parametrize("what", ["watch", "results", "cancel"])
def test_a_job_that_is_not_there_is_an_error(tierqueue: Command, what: str) -> None:
    assert tierqueue.complaint("job", what, "none") == "error: there is no job none\n"


def test_a_file_that_cannot_be_a_job_leaves_nothing_behind(
    tierqueue: Command, tmp_path: Path
) -> None:
    (tmp_path / "work.csv").write_bytes(b'prompt\n"open\n')
    complaint = tierqueue.complaint("job", "submit", "work.csv", "--task", "tierqueue.complete")
    assert complaint.startswith("error: work.csv is not CSV")
    assert tierqueue.json("spend")["states"] == {}


def test_a_ledger_that_was_never_migrated_says_what_to_do(
    command: Callable[[str], Command], tmp_path: Path
) -> None:
    tierqueue = command(f"sqlite:///{tmp_path / 'empty.db'}")
    assert "run `tierqueue migrate`" in tierqueue.complaint("audit")
    tierqueue("migrate")
    assert tierqueue("audit") == "the books balance\n"
