"""``tierqueue schedule``: what comes again is added, looked at, let rest, run by hand, removed."""

import json
from pathlib import Path

from tests.images import an_image
from tests.operations.cli.command import ONE_DEPLOYMENT, Command
from tierqueue.ledger.session import Ledger
from tierqueue.tasks.schedules import firing

_ADD = ("schedule", "add", "night", "--task", "tierqueue.complete", "--set", "prompt=Hello")
POLICY = ONE_DEPLOYMENT
_SEEN = ("--sensitivity", "public")


def test_a_schedule_is_added_shown_run_and_removed(tierqueue: Command, ledger_url: str) -> None:
    assert tierqueue.json("schedule", "list") == []
    told = tierqueue.json(*_ADD, "--cron", "0 2 * * mon-fri", "--timezone", "Europe/Berlin", *_SEEN)
    assert (told["name"], told["call"]["sensitivity"], told["missed"]) == (
        *("night", "public", "once"),
    )
    item = tierqueue.json("schedule", "run", "night")["item"]
    shown = tierqueue.json("schedule", "show", "night")
    assert [(run["item_id"], run["state"]) for run in shown["runs"]] == [(item, "submitted")]
    assert item in tierqueue("schedule", "show", "night")
    assert "0 2 * * mon-fri Europe/Berlin" in tierqueue("schedule", "list")
    assert "is paused" in tierqueue("schedule", "pause", "night")
    assert "paused" in tierqueue("schedule", "list")
    assert "goes on" in tierqueue("schedule", "resume", "night")
    assert "is removed" in tierqueue("schedule", "remove", "night")
    done = [action["what"] for action in tierqueue.json("actions")]
    assert {"add schedule", "run schedule", "pause schedule", "remove schedule"} <= set(done)
    ledger = Ledger(ledger_url)
    try:
        assert firing.run_due(ledger) == 0
    finally:
        ledger.close()


def test_what_is_wrong_with_a_schedule_is_said_when_it_is_added(tierqueue: Command) -> None:
    assert "five fields" in tierqueue.complaint(*_ADD, "--cron", "0 2")
    assert "say when" in tierqueue.complaint(*_ADD)
    assert "Europe/Berlin" in tierqueue.complaint(
        *_ADD, "--cron", "0 2 * * *", "--timezone", "Europe/Berln"
    )
    assert "each item needs its own" in tierqueue.complaint(
        *_ADD, "--every", "1h", "--deadline", "2030-01-01T00:00:00+00:00"
    )
    assert "no name" in tierqueue.complaint("schedule", "add", "a b", *_ADD[3:], "--every", "1h")
    assert "no deployment" in tierqueue.complaint(
        *_ADD, "--every", "1h", "--sensitivity", "regulated"
    )
    assert "tierqueue.complete" in tierqueue.complaint(
        "schedule", "add", "night", "--task", "tierqueue.complet", "--every", "1h"
    )


def test_a_schedule_keeps_no_image(tierqueue: Command, tmp_path: Path) -> None:
    (tmp_path / "scan.png").write_bytes(an_image())
    words = ["schedule", "add", "scan", "--task", "tierqueue.ask_image", "--every", "1h"]
    words += ["--set", "question=What?", "--set", f"image=@{tmp_path / 'scan.png'}"]
    assert "a schedule keeps no image" in tierqueue.complaint(*words)


def test_two_schedules_of_one_name_are_one_too_many(tierqueue: Command) -> None:
    tierqueue(*_ADD, *_SEEN, "--every", "1h")
    again = tierqueue.complaint(*_ADD, *_SEEN, "--every", "2h")
    assert "there is a schedule night" in again
    assert "did you mean" in tierqueue.complaint("schedule", "show", "nigt")


def test_a_schedule_keeps_where_the_rows_of_its_jobs_go(tierqueue: Command, tmp_path: Path) -> None:
    path = tmp_path / "tickets.csv"
    path.write_text("id,prompt\n1,x\n2,y\n", encoding="utf-8")
    words = ("schedule", "add", "night", "--task", "tierqueue.complete", "--every", "1h", *_SEEN)
    into = ("--into", "env:HELPDESK", "--table", "tickets", "--key", "id")
    of_file = ("--file", str(path), "--column", "prompt")
    asked = tierqueue.complaint(*words, "--set", "prompt=x", *into)
    assert "say --file too" in asked
    assert "did you mean 'id'" in tierqueue.complaint(*words, *of_file, *into[:5], "idd")
    status, out, err = tierqueue.run(*words, *of_file, *into, "--json")
    assert (status, "env:HELPDESK is not set here" in err) == (0, True)
    assert json.loads(out)["source"]["into"] == {
        "place": "env:HELPDESK",
        "table": "tickets",
        "key": "id",
        "prefix": "",
    }
