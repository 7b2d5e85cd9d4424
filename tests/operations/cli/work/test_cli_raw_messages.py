"""``tierqueue raw-messages`` and ``tierqueue actions``: what could not be read, what was done."""

from typing import Any

from tests.operations.cli.command import Command
from tierqueue.ledger.operations import raw_messages
from tierqueue.ledger.session import Ledger


def kept(url: str, body: bytes) -> str:
    ledger = Ledger(url)
    stated: dict[str, Any] = {"queue": "route", "headers": {"id": "7"}, "error": "not JSON"}
    try:
        with ledger.write() as connection:
            return raw_messages.store(connection, body=body, **stated)
    finally:
        ledger.close()


def test_what_nobody_could_read_is_listed_without_what_it_says(
    tierqueue: Command, ledger_url: str
) -> None:
    message = kept(ledger_url, b'{"secret\x1b[2J')
    out = tierqueue("raw-messages", "list")
    assert message in out
    assert "not JSON" in out
    assert "secret" not in out
    [listed] = tierqueue.json("raw-messages", "list")
    assert (listed["id"], listed["queue"], listed["bytes"]) == (message, "route", 12)


def test_one_is_shown_by_the_beginning_of_its_id_and_its_bytes_only_when_asked(
    tierqueue: Command, ledger_url: str
) -> None:
    message = kept(ledger_url, b'{"secret\x1b[2J')
    assert "secret" not in tierqueue("raw-messages", "show", message[:18])
    whole = tierqueue("raw-messages", "show", message, "--payload")
    assert "secret" in whole
    assert "\x1b" not in whole
    assert "there is no message" in tierqueue.complaint("raw-messages", "show", "nobody")
    kept(ledger_url, b"other")
    assert "several messages begin with 0: " in tierqueue.complaint("raw-messages", "show", "0")


def test_a_discard_says_first_what_it_would_do_and_is_written_down(
    tierqueue: Command, ledger_url: str
) -> None:
    message = kept(ledger_url, b"x")
    assert "would discard 1" in tierqueue("raw-messages", "discard", message)
    assert tierqueue.json("raw-messages", "list") != []
    assert "discarded 1" in tierqueue("raw-messages", "discard", message, "--yes")
    assert tierqueue.json("raw-messages", "list") == []
    [action] = tierqueue.json("actions")
    assert (action["what"], action["detail"]) == ("discard messages", {"messages": [message]})
    assert f"messages {message}" in tierqueue("actions")


def test_what_operators_did_is_listed_the_newest_first(tierqueue: Command) -> None:
    tierqueue("pause", "tier", "gpu")
    tierqueue("resume", "tier", "gpu")
    assert [action["what"] for action in tierqueue.json("actions")] == ["resume", "pause"]
    assert len(tierqueue.json("actions", "--limit", "1")) == 1
