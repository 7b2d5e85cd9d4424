"""What rules may answer: what they match, and nothing that a wall keeps from them."""

from pathlib import Path
from typing import Any

import pytest

from tests.tasks.routing import in_front
from tests.tasks.routing.rules.ruled import TASK, WORDS, stated, table_of, words
from tierqueue.ledger.in_force.pauses import Pause
from tierqueue.ledger.in_force.surrogates import Record
from tierqueue.ledger.session import Ledger
from tierqueue.router.policy.policy import Policy, parse_policy
from tierqueue.tasks.routing.below import agrees, named
from tierqueue.tasks.routing.decide import Decisions
from tierqueue.tasks.routing.rules.serving import Rules

KNOWN = "I have lost my card"


def served(ledger: Ledger, policy: Policy, text: str = KNOWN, **stated: Any) -> Decisions:
    """What becomes of one submitted item."""
    return in_front.served(Rules(policy), ledger, policy, text, **stated)


def test_words_answer_with_a_receipt_that_says_which_rules(ledger: Ledger) -> None:
    policy = words()
    chosen = served(ledger, policy)
    (answered,) = chosen.answered
    assert not chosen.routed
    assert answered.output == {"label": "card", "confidence": None}
    receipt = answered.receipt
    assert (receipt["tier"], receipt["rule"]) == ("rule", "tickets")
    assert receipt["deployment"] == next(iter(policy.audited))
    assert receipt["deployment"].startswith("rule-")
    assert (receipt["attempts"], receipt["cost_nanousd"]) == (0, 0)
    assert receipt["why"] == [
        f"a rule answered, tickets ({receipt['deployment']}): its words stand in this text"
    ]


def test_a_table_answers_the_texts_it_lists(ledger: Ledger, tmp_path: Path) -> None:
    policy = parse_policy(table_of(tmp_path, f"text,label\n{KNOWN},transfer\n"), "test")
    (answered,) = served(ledger, policy, KNOWN.upper()).answered
    assert answered.output["label"] == "transfer"
    assert "its table has this text" in answered.receipt["why"][0]


@pytest.mark.parametrize(
    "kept",
    [
        {"text": "Wie wird das Wetter?"},
        {"text": "I lost my card at login"},
        {"called": {"labels": ["card", "transfer"]}},
        {"called": {"instructions": "Be strict."}},
        {"floor": "frontier"},
        {"floor": "gpu"},
        {"pinned": "gpu"},
        {"min_confidence": 0.5},
        {"images": [[10, 10]]},
        {"calls": 1},
        {"refused_by": ["gpu"]},
        {"task": "tierqueue.complete"},
        {"paused": (Pause("task", TASK, 0, "me"),)},
        {"paused": (Pause("budget", "default", 0, "me"),)},
        {"arguments": None},
    ],
    ids=str,
)
def test_they_leave_to_the_model_what_they_may_not_answer(
    ledger: Ledger, kept: dict[str, Any]
) -> None:
    chosen = served(ledger, words(), **kept)
    assert not chosen.answered
    assert not chosen.audits
    assert len(chosen.routed) + len(chosen.deaths) == 1


VENDOR = """
engine = "openai"
base_url = "https://models.example/v1"
key_env = "VENDOR_KEY"
model = "small"
boundary = "vendor:acme"
context_window = 8000
prices = { input = "1", output = "1" }
"""


def test_what_no_boundary_takes_is_not_answered_either(ledger: Ledger) -> None:
    before, _, after = stated(words=WORDS).partition('engine = "vllm"')
    text = before + VENDOR + after[after.index("\n\n[tasks") :]
    chosen = served(ledger, parse_policy(text, "test"), sensitivity="regulated")
    assert [death.reason for death in chosen.deaths] == ["no_route"]
    assert not chosen.answered


def test_a_floor_for_its_risk_forbids_it(ledger: Ledger) -> None:
    floors = '[[floors]]\nrisk = "auto_applied"\nfloor = "frontier"\n'
    assert not served(ledger, words(floors)).answered
    assert not served(ledger, words(floors), id="item-2", risk="auto_applied").answered


def test_what_is_milder_than_the_floor_asks_for_is_answered(ledger: Ledger) -> None:
    floors = '[[floors]]\nrisk = "auto_applied"\nfloor = "frontier"\n'
    assert served(ledger, words(floors), risk="internal").answered


def test_an_audited_item_goes_to_the_model_and_is_remembered(ledger: Ledger) -> None:
    chosen = served(ledger, words(audit=1.0))
    assert len(chosen.routed) == 1
    assert [audit.answer for audit in chosen.audits] == [named({"label": "card"})]


def test_what_was_switched_off_answers_nothing(ledger: Ledger) -> None:
    assert not served(ledger, words(), off=tuple(words().audited)).answered


def test_another_version_is_what_answers_by_something_else() -> None:
    (version,) = words().audited
    assert words(audit=0.05, agreement=0.99, name="others").audited.keys() == {version}
    assert words(words={**WORDS, "gone": "card"}).audited.keys() != {version}
    assert words(argument="instructions").audited.keys() != {version}


def test_the_agreement_that_is_stated_is_the_promise() -> None:
    (promise,) = Rules(words(agreement=0.9)).promises.values()
    assert not promise.broken(Record(100, 14))
    assert promise.broken(Record(100, 25))
    (strict,) = Rules(words(agreement=1)).promises.values()
    assert strict.broken(Record(100, 1))
    assert not strict.broken(Record(100, 0))


def test_whole_outputs_are_compared_field_by_field_whatever_else_a_model_adds() -> None:
    answer = named({"amount": 5.0, "currency": "EUR"})
    assert agrees(answer, {"amount": 5.0, "currency": "EUR", "confidence": 0.4}) is True
    assert agrees(answer, {"amount": 5.0, "currency": "USD"}) is False
    assert agrees(answer, {"label": "card"}) is None
