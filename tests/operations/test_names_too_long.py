"""Names that people give have an end, whatever command or entry takes them."""

import pytest

from tests.operations.cli.command import Command
from tierqueue.router.errors import InvalidItem, InvalidPolicy
from tierqueue.router.item import MOST_NAME
from tierqueue.router.policy.policy import parse_policy
from tierqueue.tasks.submission.demands import StatedDemands

LONG = "x" * 1_000_000

COMMANDS = [
    ("pause", "budget", LONG),
    ("pause", "task", LONG),
    ("pause", "job", LONG),
    ("resume", "job", LONG),
    ("limits", "set", f"budget:{LONG}", "in_flight", "1"),
    ("limits", "set", LONG, "in_flight", "1"),
    ("limits", "set", f"account:{LONG}", "in_flight", "1"),
    ("limits", "show", LONG),
    ("ceilings", "set", f"budget:{LONG}", "1usd"),
    ("ceilings", "set", "budget:acme", "1usd", "--by", LONG),
    ("ceilings", "set", LONG, "1usd"),
    ("schedule", "add", LONG, "--task", "tierqueue.classify", "--every", "1h"),
    ("schedule", "pause", LONG),
    ("job", "show", LONG),
]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(w[:12] for w in words))
def test_a_command_refuses_a_name_of_a_megabyte_and_does_not_repeat_it(
    tierqueue: Command, words: tuple[str, ...]
) -> None:
    said = tierqueue.complaint(*words)
    assert said
    assert len(said) < 2_000


def test_an_items_budget_is_as_long_as_any_name() -> None:
    assert StatedDemands.read({"budget": "x" * MOST_NAME}, "item").budget == "x" * MOST_NAME
    with pytest.raises(InvalidItem):
        StatedDemands.read({"budget": "x" * (MOST_NAME + 1)}, "item")


@pytest.mark.parametrize("table", ["budgets", "accounts", "tasks", "deployments"])
def test_a_policy_names_nothing_so(table: str) -> None:
    with pytest.raises(InvalidPolicy) as refused:
        parse_policy(f"[{table}.{LONG}]\n", "policy")
    assert "200" in refused.value.message
    assert len(refused.value.message) < 2_000
