"""Rate limits: the sliding minute, tokens, concurrency, and the 429s they lead to."""

import asyncio
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from sandbox.failing.limits import Gate, Limit
from sandbox.wires.call import Refused
from tests.waiting import PATIENCE_SECONDS


def test_requests_are_admitted_again_when_the_minute_has_slid_past() -> None:
    gate = Gate(Limit(rpm=2))
    gate.enter(0.0, 10)
    gate.enter(20.0, 10)
    with pytest.raises(Refused) as refused:
        gate.enter(50.0, 10)
    assert refused.value.after == pytest.approx(10.0)
    gate.enter(60.0, 10)
    with pytest.raises(Refused):
        gate.enter(79.9, 10)


def test_another_window_may_stand_for_the_minute() -> None:
    gate = Gate(Limit(rpm=1, tpm=100, window=5.0))
    gate.enter(0.0, 60)
    with pytest.raises(Refused) as refused:
        gate.enter(2.0, 10)
    assert refused.value.after == pytest.approx(3.0)
    gate.enter(5.0, 60)
    assert gate.remaining(10.0) == (1, 100)


def test_a_refused_call_counts_nowhere() -> None:
    gate = Gate(Limit(rpm=1))
    gate.enter(0.0, 10)
    for now in range(1, 60):
        with pytest.raises(Refused):
            gate.enter(float(now), 10)
    gate.enter(60.0, 10)
    assert gate.in_flight == 2


def test_output_counts_towards_the_tokens_of_the_minute() -> None:
    gate = Gate(Limit(tpm=100))
    gate.enter(0.0, 30)
    gate.spend(5.0, 60)
    assert gate.remaining(5.0) == (None, 10)
    with pytest.raises(Refused) as refused:
        gate.enter(10.0, 11)
    assert refused.value.after == pytest.approx(50.0)
    gate.enter(60.0, 11)


@pytest.mark.parametrize(("status", "after"), [(429, 60.0), (413, None)])
def test_a_call_too_large_for_any_minute_is_refused_for_its_size(
    status: int, after: float | None
) -> None:
    gate = Gate(Limit(tpm=100, too_large=status))
    gate.enter(0.0, 90)
    with pytest.raises(Refused) as refused:
        gate.enter(0.0, 101)
    assert (refused.value.status, refused.value.after) == (status, after)
    assert refused.value.too_large == (100, 101)


def test_the_provider_refuses_past_its_requests_a_minute_and_logs_it(start: Any) -> None:
    provider = start("--rpm", "2")
    left = [
        provider.ask_openai("hello").headers["x-ratelimit-remaining-requests"] for _ in range(2)
    ]
    assert left == ["1", "0"]
    with pytest.raises(openai.RateLimitError) as raised:
        provider.ask_openai("hello")
    assert 0 < int(raised.value.response.headers["retry-after"]) <= 60
    assert provider.ask_openai("hello", model="open-large").status_code == 200
    line = provider.lines()[2]
    assert (line["status"], line["fault"], line["cost_nanousd"]) == (429, "limit", 0)
    summary = provider.openai.get("/../log/summary", cast_to=object)
    assert summary["models"]["open-small"]["throttled"] == 1
    assert summary["models"]["open-small"]["calls"] == 3
    assert summary["total"]["throttled"] == 1


def test_the_provider_refuses_past_its_tokens_a_minute(start: Any) -> None:
    provider = start("--tpm", "100")
    assert provider.ask_anthropic("a" * 320).status_code == 200
    with pytest.raises(anthropic.RateLimitError) as raised:
        provider.ask_anthropic("a" * 320)
    assert int(raised.value.response.headers["retry-after"]) > 0


def test_calls_at_the_same_time_are_bounded_and_the_most_is_logged(start: Any) -> None:
    # The three that are let in stay until the end, however long the others take to come.
    provider = start("--concurrent", "3", "--latency-ms", "600000")

    async def burst() -> list[BaseException | None]:
        client = openai.AsyncOpenAI(base_url=f"{provider.url}/v1", api_key="any", max_retries=0)
        async with client:
            asked = [
                asyncio.ensure_future(
                    client.chat.completions.create(
                        model="open-small", messages=[{"role": "user", "content": f"call {n}"}]
                    )
                )
                for n in range(8)
            ]
            async with asyncio.timeout(PATIENCE_SECONDS):
                while sum(result.done() for result in asked) < 5:
                    await asyncio.wait(asked, timeout=0.05)
            refused = [result.exception() for result in asked if result.done()]
            assert await asyncio.to_thread(provider.end) == 0
            await asyncio.gather(*asked, return_exceptions=True)
            return refused

    answers = asyncio.run(burst())
    refused = [one for one in answers if isinstance(one, openai.RateLimitError)]
    assert len(refused) == len(answers) == 5
    assert {one.response.headers["retry-after"] for one in refused} == {"1"}
    assert max(line["max_in_flight"] for line in provider.lines()) == 3


LIMITED = """
[[limit]]
model = "*"
rpm = {rpm}
told = {told}
"""


def test_limits_in_a_file_are_in_force_as_soon_as_it_changes(start: Any, tmp_path: Path) -> None:
    limits = tmp_path / "limits.toml"
    limits.write_text(LIMITED.format(rpm=2, told="true"), encoding="utf-8")
    provider = start("--limits", str(limits))
    assert provider.ask_openai("hello").headers["x-ratelimit-limit-requests"] == "2"
    limits.write_text(LIMITED.format(rpm=1, told="true"), encoding="utf-8")
    with pytest.raises(openai.RateLimitError) as raised:
        provider.ask_openai("hello")
    assert raised.value.response.headers["x-ratelimit-limit-requests"] == "1"


def test_a_provider_may_keep_its_limits_to_itself(start: Any, tmp_path: Path) -> None:
    limits = tmp_path / "limits.toml"
    limits.write_text(LIMITED.format(rpm=1, told="false"), encoding="utf-8")
    provider = start("--limits", str(limits))
    headers = provider.ask_openai("hello").headers
    assert not [name for name in headers if name.startswith("x-ratelimit")]
    with pytest.raises(openai.RateLimitError):
        provider.ask_openai("hello")
