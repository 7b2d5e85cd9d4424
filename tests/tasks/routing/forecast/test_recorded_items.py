"""A replay knows which recorded items another policy would have answered without a call."""

from pathlib import Path
from typing import Any

import pytest

from tests.ledger.placed import place
from tests.operations.cli.command import Command
from tests.tasks.routing.asked_again import REUSE
from tests.tasks.routing.rules.ruled import HOUSE, TASK, WORDS, stated, words
from tests.tasks.routing.tickets import arguments
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now


@pytest.fixture
def replayed(tierqueue: Command, tmp_path: Path) -> Any:
    """What ``policy replay`` says of a policy."""

    def replay(policy: str) -> dict[str, Any]:
        file = tmp_path / "new.toml"
        file.write_text(policy, "utf-8")
        told: dict[str, Any] = tierqueue.json("policy", "replay", str(file))
        return told

    return replay


def recorded(ledger: Ledger, text: str, number: int, **columns: Any) -> str:
    """An item that a model answered a second after it came, some minutes ago; each comes a minute
    after the one before.
    """
    with ledger.read() as connection:
        at = database_now(connection) - 3_600_000_000 + number * 60_000_000
    usual = {"policy": "old", "submitted_at": at, "ended_at": at + 1_000_000, "calls": 1}
    known = {"id": f"item-{number}", "task": TASK, "arguments": arguments(text), "spent": 500}
    return place(ledger, "succeeded", **{**known, **usual, **columns})


def test_what_rules_would_have_answered_costs_nothing(ledger: Ledger, replayed: Any) -> None:
    for number, text in enumerate(("I lost my card", "hello", "it fails at login")):
        recorded(ledger, text, number)
    told = replayed(stated(words=WORDS))
    assert told["deployments"] == {
        "house": {"before": 3, "after": 1},
        "rule": {"before": 0, "after": 2},
    }
    one = replayed(HOUSE)
    assert one["deployments"] == {"house": {"before": 3, "after": 3}}
    assert told["expected_nanousd"] == pytest.approx(one["expected_nanousd"] / 3, abs=1)
    (version,) = words().audited
    assert [move["why"] for move in told["moves"]] == [f"a rule answers: {version}"] * 2


def test_what_was_answered_by_a_rule_went_there_before(ledger: Ledger, replayed: Any) -> None:
    without = {"tier": "rule", "deployment": None, "calls": 0, "spent": 0}
    recorded(ledger, "I lost my card", 1, **without)
    assert replayed(stated(words=WORDS))["moves"] == []
    assert replayed(HOUSE)["deployments"] == {
        "house": {"before": 0, "after": 1},
        "rule": {"before": 1, "after": 0},
    }


def test_an_item_is_answered_by_an_earlier_one_once_that_has_its_answer(
    ledger: Ledger, replayed: Any
) -> None:
    recorded(ledger, "the same", 1)
    recorded(ledger, "the same", 2)
    recorded(ledger, "the same", 3, budget="acme", stated={"budget": "acme"})
    late = recorded(ledger, "slow", 4)
    recorded(ledger, "slow", 5, fresh=True)
    told = replayed(HOUSE + REUSE)
    assert told["deployments"] == {
        "house": {"before": 5, "after": 4},
        "reused": {"before": 0, "after": 1},
    }
    assert late


def test_what_an_evaluation_asked_of_one_tier_goes_there(ledger: Ledger, replayed: Any) -> None:
    recorded(ledger, "I lost my card", 1, pinned="gpu")
    assert replayed(stated(words=WORDS))["deployments"] == {"house": {"before": 1, "after": 1}}
