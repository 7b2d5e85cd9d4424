"""Message batches of Anthropic through the real SDK: results, counts, what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anthropic
import pytest

from tests.sandbox.batch.test_sandbox_batch import CLOCK
from tests.sandbox.conftest import Provider


def request(key: str, prompt: str = "hello", **more: Any) -> Any:
    """One request of a batch."""
    messages = [{"role": "user", "content": prompt}]
    return {
        "custom_id": key,
        "params": {"model": "frontier-large", "max_tokens": 50, "messages": messages, **more},
    }


def results(provider: Provider, key: str) -> dict[str, Any]:
    """The results of a batch that has ended, by custom id."""
    return {one.custom_id: one.result for one in provider.anthropic.messages.batches.results(key)}


def test_each_request_is_served_at_half_the_price_or_says_why_not(provider: Provider) -> None:
    live = provider.ask_anthropic("hello batch", max_tokens=50).parse()
    batches = provider.anthropic.messages.batches
    made = batches.create(
        requests=[request("a", "hello batch"), request("b", top_k=1, tools=[{}]), request("c")]
    )
    assert (made.processing_status, made.request_counts.processing) == ("in_progress", 3)
    seen = batches.retrieve(made.id)
    assert seen.processing_status == "ended"
    counts = seen.request_counts
    assert (counts.succeeded, counts.errored, counts.processing) == (2, 1, 0)
    found = results(provider, made.id)
    assert {key: result.type for key, result in found.items()} == {
        "a": "succeeded",
        "b": "errored",
        "c": "succeeded",
    }
    assert found["a"].message.usage.output_tokens == live.usage.output_tokens
    assert found["b"].error.error.type == "invalid_request_error"
    by_item = {line["item"]: line for line in provider.lines() if line["batch"]}
    whole = next(line for line in reversed(provider.lines()) if not line["batch"])
    assert by_item["a"]["cost_nanousd"] == -(-whole["cost_nanousd"] // 2)


def test_one_that_is_cancelled_holds_what_was_served(
    start: Callable[..., Provider], tmp_path: Path
) -> None:
    clock = tmp_path / "clock"
    clock.write_text(str(CLOCK))
    (tmp_path / "b.toml").write_text('median = "40h"\ncancelling = "1m"\nclock = "clock"\n')
    provider = start("--batches", str(tmp_path / "b.toml"))
    batches = provider.anthropic.messages.batches
    made = batches.create(requests=[request(f"r{n}") for n in range(10)])
    clock.write_text(str(CLOCK + 10 * 3_600))
    assert batches.cancel(made.id).processing_status == "canceling"
    clock.write_text(str(CLOCK + 10 * 3_600 + 60))
    counts = batches.retrieve(made.id).request_counts
    assert (counts.succeeded, counts.canceled, counts.expired) == (2, 8, 0)
    assert len(results(provider, made.id)) == 10
    with pytest.raises(anthropic.BadRequestError):
        batches.cancel(made.id)


def test_batches_are_listed_a_page_at_a_time_newest_first(provider: Provider) -> None:
    batches = provider.anthropic.messages.batches
    made = [batches.create(requests=[request("a")]).id for _ in range(3)]
    assert [batch.id for batch in batches.list(limit=2)][:3] == made[::-1]


@pytest.mark.parametrize(
    "asked", [[], [request("a"), request("a")], [request("no spaces")], [{"custom_id": "a"}]]
)
def test_what_anthropic_refuses_is_refused(provider: Provider, asked: list[Any]) -> None:
    with pytest.raises(anthropic.BadRequestError):
        provider.anthropic.messages.batches.create(requests=asked)
