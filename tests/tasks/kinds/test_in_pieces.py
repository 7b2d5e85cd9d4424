"""A document is one item where that costs no more than its pieces, by the producer's policy."""

from pathlib import Path
from typing import Any

import pytest

from tests.tasks.kinds.test_long_document import PAGES, QUESTION, finish, parts
from tests.tasks.producer import Producer
from tierqueue.router.policy.policy import parse_policy
from tierqueue.tasks import ask_document

pytestmark = [
    pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

LONG = """
default_sensitivity = "internal"

[deployments.window]
tier = "open_weight"
engine = "openai"
model = "small"
boundary = "vendor:opens"
base_url = "https://opens.example/v1"
key_env = "OPENS_KEY"
context_window = 6000
prices = { input = "1", output = "1" }

[deployments.long]
tier = "frontier"
engine = "anthropic"
model = "large"
boundary = "vendor:acme"
key_env = "ACME_KEY"
context_window = 200000
prices = { input = "PRICE", output = "PRICE" }
"""


def by_policy(producer: Producer, monkeypatch: pytest.MonkeyPatch, price: str) -> None:
    """The producer has a policy in which the long window costs so much."""
    policy = parse_policy(LONG.replace("PRICE", price), "test")
    monkeypatch.setattr(producer.app.installation, "policy", policy)


def test_one_call_of_the_whole_that_costs_no_more_is_one_item(
    producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_policy(producer, monkeypatch, "1")
    told: dict[str, Any] = {"characters": 1_300, "max_cost": "0.1usd", "idempotency_key": "lease"}
    asked = ask_document(PAGES, QUESTION, **told)
    ask_document(PAGES, QUESTION, **told)
    (row,) = producer.all_items()
    assert row.arguments["text"] == "\n\n".join(PAGES)
    assert row.max_cost == 100_000_000
    assert asked.why.startswith("whole, in one call, at long, at most $")
    finish(producer, row, "Page 3 begins here.")
    assert asked.get(timeout=60).citations[0].page == 3
    assert len(ask_document(PAGES, QUESTION, characters=1_300, split="always").items) > 4


def test_what_costs_more_whole_is_done_in_pieces(
    producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_policy(producer, monkeypatch, "50")
    asked = ask_document(PAGES, QUESTION, characters=1_300)
    assert len(parts(producer)) == 4
    assert asked.why.startswith("in pieces, with what joins them 5 calls, at window, at most $")


@pytest.mark.parametrize(("first", "later"), [("1", "50"), ("50", "1")], ids=["whole", "pieces"])
def test_the_same_call_goes_on_as_it_was_begun_whatever_costs_less_by_now(
    producer: Producer, monkeypatch: pytest.MonkeyPatch, first: str, later: str
) -> None:
    told: dict[str, Any] = {"characters": 1_300, "idempotency_key": "lease", "budget": "acme"}
    by_policy(producer, monkeypatch, first)
    begun = ask_document(PAGES, QUESTION, **told)
    there = [row.id for row in producer.all_items()]
    by_policy(producer, monkeypatch, later)
    asked = ask_document(PAGES, QUESTION, **told)
    assert [row.id for row in producer.all_items()] == there
    assert len(asked.items) == len(begun.items)
    assert asked.why == "as the same call was begun before"


def test_without_a_policy_it_is_done_in_pieces(
    producer: Producer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    del producer.app.installation.settings
    monkeypatch.setenv("TIERQUEUE_POLICY", str(tmp_path / "none.toml"))
    asked = ask_document(PAGES, QUESTION, characters=1_300)
    assert (len(parts(producer)), asked.why) == (4, "")


def test_a_document_has_the_deadline_that_the_policy_gives_its_task_type(
    producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        producer.app.installation,
        "policy",
        parse_policy(
            LONG.replace("PRICE", "50") + '\n[tasks."tierqueue.ask"]\ndeadline = "1h"\n', "test"
        ),
    )
    ask_document(PAGES, QUESTION, characters=1_300, split="always")
    rows = producer.all_items()
    (deadline,) = {row.deadline for row in rows}
    assert 0 < deadline - rows[0].submitted_at <= 3_600_000_000
