"""The provider's books: a line a call, written before the reply, priced by its own table."""

import asyncio
import hashlib
import subprocess
import sys
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parents[2]
# Dollars per million tokens: input, cached, written for 5 minutes, for 1 hour, output.
DOLLARS = {
    "open-small": ("0.10", "0.10", "0.10", "0.10", "0.40"),
    "open-large": ("0.60", "0.60", "0.60", "0.60", "2.40"),
    "frontier-mini": ("0.50", "0.05", "0.50", "0.50", "2.00"),
    "frontier-large": ("5", "0.50", "6.25", "10", "25"),
    "house-tiny": ("0", "0", "0", "0", "0"),
}


def priced(line: dict[str, Any]) -> int:
    tokens = (
        line["input_tokens"],
        line["cached_tokens"],
        line["cache_write_tokens"] - line["cache_write_1h_tokens"],
        line["cache_write_1h_tokens"],
        line["output_tokens"],
    )
    rates = (Decimal(rate) for rate in DOLLARS[line["model"]])
    micro = sum((rate * count for rate, count in zip(rates, tokens, strict=True)), Decimal(0))
    return int((micro * 1000).to_integral_value(ROUND_CEILING))


def test_every_cost_in_the_log_is_usage_times_price_rounded_up_once(start: Any) -> None:
    provider = start()
    for model in DOLLARS:
        for n in range(3):
            provider.ask_openai(f"price me {'x' * n}", model=model, max_tokens=3 + n)
            long = [{"role": "system", "content": f"{model} " * 900}]
            turns: Any = [*long, {"role": "user", "content": "one"}]
            provider.openai.chat.completions.create(model=model, messages=turns)
    for ttl in ("5m", "1h", "5m"):
        mark: Any = {"type": "ephemeral", "ttl": ttl}
        system: Any = [{"type": "text", "text": f"kept {ttl} " * 700, "cache_control": mark}]
        provider.ask_anthropic("one", system=system)
    lines = provider.lines()
    assert [line["cost_nanousd"] for line in lines] == [priced(line) for line in lines]
    assert {line["model"] for line in lines if line["cost_nanousd"] == 0} == {"house-tiny"}
    for kind in ("cached_tokens", "cache_write_tokens", "cache_write_1h_tokens"):
        assert any(line[kind] > 0 for line in lines)
    summary = provider.openai.get("/../log/summary", cast_to=object)
    assert summary["total"]["cost_nanousd"] == sum(map(priced, lines))
    assert summary["total"]["calls"] == len(lines)


def test_the_log_has_the_callers_headers_and_the_prompts_hash_but_not_the_prompt(
    provider: Any,
) -> None:
    given = {"x-tierqueue-item": "item 7", "x-tierqueue-fence": "3", "x-tierqueue-attempt": "a1"}
    prompt = "a secret nobody may log"
    provider.ask_openai(prompt, extra_headers=given)
    line = provider.lines()[-1]
    assert (line["item"], line["fence"], line["attempt"]) == ("item 7", "3", "a1")
    assert line["prompt_sha256"] == hashlib.sha256(prompt.encode()).hexdigest()
    assert line["simulated"] is True
    assert "secret" not in provider.log.read_text(encoding="utf-8")


def test_what_was_answered_before_a_sigkill_is_in_the_log(start: Any) -> None:
    provider = start()

    async def until_killed() -> int:
        answered = 0
        client = openai.AsyncOpenAI(base_url=f"{provider.url}/v1", api_key="any", max_retries=0)

        async def ask() -> None:
            nonlocal answered
            while True:
                await client.chat.completions.create(
                    model="open-small", messages=[{"role": "user", "content": "go on"}]
                )
                answered += 1
                if answered == 60:
                    provider.process.kill()

        async with client:
            await asyncio.gather(*(ask() for _ in range(8)), return_exceptions=True)
        return answered

    answered = asyncio.run(until_killed())
    lines = provider.lines()
    assert answered >= 60
    assert len([line for line in lines if line["status"] == 200]) >= answered
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))


def test_a_restarted_provider_goes_on_in_the_same_log(start: Any) -> None:
    first = start()
    first.ask_openai("hello")
    assert first.end() == 0
    second = start()
    second.ask_openai("hello")
    assert [line["seq"] for line in second.lines()] == [1, 2]
    assert second.openai.get("/../log/summary", cast_to=object)["total"]["calls"] == 2


def test_sigterm_ends_the_process_at_once_whatever_hangs(start: Any) -> None:
    provider = start("--latency-ms", "600000")

    async def hang() -> list[Any]:
        client = openai.AsyncOpenAI(base_url=f"{provider.url}/v1", api_key="any", max_retries=0)
        async with client:
            calls = [
                client.chat.completions.create(
                    model="open-small",
                    messages=[{"role": "user", "content": f"stay {more}"}],
                )
                for more in ("", "[[sandbox:hang seconds=600]]")
            ]
            both = asyncio.gather(*calls, return_exceptions=True)
            async with asyncio.timeout(PATIENCE_SECONDS):
                health: Any = {"in_flight": 0}
                while health["in_flight"] < 2:
                    health = await client.get("/../healthz", cast_to=object)
            # They hang for ten minutes: nobody waits as long for the end of the process.
            assert await asyncio.to_thread(provider.end) == 0
            return list(await both)

    assert all(isinstance(one, openai.APIConnectionError) for one in asyncio.run(hang()))
    lines = provider.lines()
    assert [(line["status"], line["fault"]) for line in lines] == [(0, "stopped")] * 2
    assert sum(line["cost_nanousd"] for line in lines) == 0


def refusal(*flags: str) -> str:
    """What a sandbox that will not start says, after exit status 2."""
    command = [sys.executable, "-m", "sandbox", "--port", "0", *flags]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 2
    return ended.stderr


@pytest.mark.processes
def test_a_log_in_use_is_refused(provider: Any) -> None:
    assert "another sandbox" in refusal("--log", str(provider.log))


@pytest.mark.processes
@pytest.mark.parametrize("text", ['{"seq": 1', "not a log\n", '{"seq": 5, "model": "m"}\n'])
def test_a_file_that_is_no_log_is_refused_and_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(text, encoding="utf-8")
    assert "line 1" in refusal("--log", str(path))
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.processes
@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "example.com", "::"])
def test_a_host_that_is_not_loopback_is_refused(tmp_path: Path, host: str) -> None:
    assert host in refusal("--log", str(tmp_path / "log"), "--host", host)
    assert not (tmp_path / "log").exists()
