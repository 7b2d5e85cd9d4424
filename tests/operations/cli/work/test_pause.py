"""``tierqueue pause`` and ``tierqueue resume``: who held what back, and why."""

from collections.abc import Callable

import pytest

from tests.operations.cli.command import Command


@pytest.fixture
def tierqueue(command: Callable[[str], Command], sqlite_url: str) -> Command:
    return command(sqlite_url)


def test_why_something_is_paused_is_shown_with_it(tierqueue: Command) -> None:
    tierqueue("pause", "tier", "gpu", "--reason", "new cards", "--by", "ada")
    tierqueue("pause", "budget", "acme")
    budget, tier = tierqueue.json("pause", "list")
    assert (tier["by"], tier["reason"]) == ("ada", "new cards")
    assert budget["reason"] is None
    assert "new cards" in tierqueue("pause", "list")


def test_a_reason_may_be_given_later_and_ends_with_the_pause(tierqueue: Command) -> None:
    tierqueue("pause", "budget", "acme", "--reason", "over its limit")
    tierqueue("pause", "budget", "acme")
    tierqueue("pause", "budget", "acme", "--reason", "bill unpaid")
    (budget,) = tierqueue.json("pause", "list")
    assert budget["reason"] == "bill unpaid"
    tierqueue("resume", "budget", "acme")
    tierqueue("pause", "budget", "acme")
    (budget,) = tierqueue.json("pause", "list")
    assert budget["reason"] is None


def test_the_actions_say_why_and_by_whom(tierqueue: Command) -> None:
    tierqueue("pause", "tier", "gpu", "--reason", "new cards", "--by", "ada")
    tierqueue("resume", "tier", "gpu", "--reason", "cards are in", "--by", "bob")
    resumed, paused = tierqueue.json("actions")
    assert (paused["by"], paused["detail"]["reason"]) == ("ada", "new cards")
    assert (resumed["by"], resumed["detail"]["reason"]) == ("bob", "cards are in")
    assert "reason cards are in" in tierqueue("actions")
