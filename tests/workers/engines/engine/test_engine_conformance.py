"""What every engine promises, whatever stands behind it."""

import asyncio
import contextlib
import importlib.util
import json
from collections.abc import Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from bench.chaos.hook import Hook
from bench.chaos.own_engine import OwnEngine
from bench.null_engine import NullEngine
from bench.stage.noted_engine import NotedEngine
from examples.tiny_tickets import NAME
from examples.tiny_tickets.serve import serve
from tests.workers.engines.engine_calls import BOUNDED, LABEL, LABELS, SCHEMA, a_call, a_sandbox
from tierqueue.router.outcome import Completed, Failed, Reply, Unavailable, Unknown
from tierqueue.tasks.answers.confidence import confidence
from tierqueue.workers.engines.anthropic import AnthropicEngine
from tierqueue.workers.engines.engine import Call
from tierqueue.workers.engines.openai import OpenAIEngine
from tierqueue.workers.engines.vllm import VllmEngine
from tierqueue.workers.process.event_loop import EventLoopThread

WITHOUT_VLLM = pytest.mark.skipif(
    importlib.util.find_spec("vllm") is None,
    reason="vLLM is not installed: `make engine` installs it",
)
# vLLM and torch warn of what other libraries will drop.
VLLM = pytest.param("vllm", marks=[WITHOUT_VLLM, pytest.mark.filterwarnings("ignore")])

NULL = ("null", "noted", "storm")
"""The null engine, and what the benches make of it."""


@dataclass
class Subject:
    """An engine under test, started on a loop of its own."""

    engine: Any
    loop: EventLoopThread
    model: str
    metered: bool

    def complete(self, call: Call) -> Reply:
        reply: Reply = self.loop.run(self.engine.complete(call), timeout=120)
        return reply

    @contextlib.contextmanager
    def slow(self) -> Iterator[Call]:
        """A call that takes far longer than any test waits."""
        if isinstance(self.engine, NullEngine):
            self.engine.seconds = 600.0
        if self.model == NAME:  # it says little, so that it has much to read
            yield a_call(self.model, "word " * 1_500, output_limit=4)
        else:
            yield a_call(self.model, "[[sandbox:hang seconds=600]]", output_limit=900)
        if isinstance(self.engine, NullEngine):
            self.engine.seconds = 0.0


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with a_sandbox(tmp_path_factory.mktemp("sandbox")) as address:
        yield address


def made(kind: str, address: str, folder: Path) -> tuple[Any, str]:
    """An engine of that kind, and the model it serves."""
    told: dict[str, Any] = {"deployment": kind, "key": "sk-test", "simulated": True}
    if kind == "openai":
        url = f"{address}/v1"
        return OpenAIEngine(base_url=url, metered=True, **told), "frontier-mini"
    if kind == "llama.cpp":
        told |= {"base_url": f"{address}/v1", "simulated": False}
        return OpenAIEngine(metered=False, **told), NAME
    if kind == "anthropic":
        return AnthropicEngine(base_url=address, metered=True, **told), "frontier-large"
    if kind == "null":
        return NullEngine(), "null"
    if kind == "noted":
        return NotedEngine(str(folder / "calls")), "null"
    return OwnEngine(folder / "calls.jsonl", 0.0, Hook(folder, "worker")), "null"


@pytest.fixture(scope="module", params=["openai", "anthropic", *NULL, "llama.cpp", VLLM])
def subject(
    request: pytest.FixtureRequest, sandbox: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Subject]:
    if request.param == "vllm":
        started = request.getfixturevalue("vllm_engine")
        yield Subject(started.engine, started.loop, started.model, metered=False)
        return
    server = serve() if request.param == "llama.cpp" else None
    address = sandbox if server is None else server.listening_address
    engine, model = made(request.param, address, tmp_path_factory.mktemp("model"))
    loop = EventLoopThread(f"test-{request.param}")
    loop.start()
    loop.run(engine.start(), timeout=400)
    yield Subject(engine, loop, model, metered=request.param in ("openai", "anthropic"))
    loop.run(engine.close(), timeout=60)
    assert loop.stop(timeout=60)


def completed(reply: Reply) -> Completed:
    assert isinstance(reply, Completed), reply
    return reply


def test_a_text_is_answered_with_its_usage(subject: Subject) -> None:
    answer = completed(subject.complete(a_call(subject.model)))
    assert answer.text
    assert answer.model_served
    assert answer.finish in ("stop", "length")
    assert answer.usage.total_input > 0
    assert 0 < answer.usage.output_tokens <= 64
    assert 0 <= answer.usage.reasoning_tokens <= answer.usage.output_tokens
    assert answer.seconds >= 0


def test_a_schema_is_followed(subject: Subject) -> None:
    schema = BOUNDED if isinstance(subject.engine, VllmEngine) else SCHEMA
    answer = completed(subject.complete(a_call(subject.model, schema=schema)))
    assert answer.finish == "stop"
    said = json.loads(answer.text)
    assert said.keys() == {"label", "share"}
    assert said["label"] in LABELS
    # llama.cpp's grammar knows no bounds of a fraction; validation does.
    assert 0 <= said["share"] <= 1 or subject.model == NAME


class Label(BaseModel):
    label: Literal["billing", "bug", "other"]


def test_the_margin_of_a_label_is_told_by_whoever_gives_probabilities(subject: Subject) -> None:
    call = a_call(subject.model, schema=LABEL, alternatives=20)
    answer = completed(subject.complete(call))
    assert json.loads(answer.text)["label"] in LABELS
    margin = confidence(Label, answer.text, answer.tokens)
    if isinstance(subject.engine, OpenAIEngine | VllmEngine):
        # The engine leaves out the spaces that llama.cpp's grammar allows behind the object.
        assert b"".join(token.text for token in answer.tokens).decode().strip() == answer.text
        assert margin is not None
        assert 0 <= margin <= 1
    else:
        assert answer.tokens == ()
        assert margin is None
    if isinstance(subject.engine, VllmEngine):
        # Of 259 tokens the grammar leaves one or two: so it is its mask that was applied before.
        for token in answer.tokens:
            shown = token.probability + sum(share for _, share in token.others)
            assert shown == pytest.approx(1, abs=0.01)


def test_the_least_probable_token_is_told_by_whoever_gives_probabilities(
    subject: Subject,
) -> None:
    schema = BOUNDED if isinstance(subject.engine, VllmEngine) else SCHEMA
    answer = completed(subject.complete(a_call(subject.model, schema=schema, alternatives=0)))
    least = confidence(None, answer.text, answer.tokens)
    if isinstance(subject.engine, OpenAIEngine | VllmEngine):
        assert least is not None
        assert 0 < least < 1
    else:
        assert least is None


def test_no_probabilities_come_unasked(subject: Subject) -> None:
    answer = completed(subject.complete(a_call(subject.model, schema=LABEL)))
    assert answer.tokens == ()


def test_the_output_limit_ends_an_answer_and_says_so(subject: Subject) -> None:
    answer = completed(subject.complete(a_call(subject.model, output_limit=1)))
    assert answer.finish == "length"
    assert answer.usage.output_tokens <= 1


def test_the_same_prompt_has_the_same_input_tokens_however_they_were_cached(
    subject: Subject,
) -> None:
    call = a_call(subject.model, prefix="The handbook says nothing of note. " * 20)
    first, second = (completed(subject.complete(call)).usage for _ in range(2))
    assert first.total_input == second.total_input
    assert min(first.input_tokens, second.input_tokens) >= 0


def test_an_engine_of_ones_own_charges_engine_time_and_a_vendor_none(subject: Subject) -> None:
    usage = completed(subject.complete(a_call(subject.model))).usage
    assert (usage.engine_seconds > 0) is not subject.metered


def test_a_cancelled_call_ends_at_once_and_lets_the_cancellation_through(
    subject: Subject,
) -> None:
    async def cancelled(call: Call) -> bool:
        task = asyncio.ensure_future(subject.engine.complete(call))
        done, _ = await asyncio.wait([task], timeout=0.2)
        assert not done
        task.cancel()
        await asyncio.wait([task], timeout=60)
        return bool(task.cancelled())

    with subject.slow() as call:
        assert subject.loop.run(cancelled(call), timeout=120)
        spent = subject.engine.spent(call).engine_seconds
    assert (spent > 0) is not subject.metered
    assert subject.engine.spent(call).engine_seconds == 0
    completed(subject.complete(a_call(subject.model)))


def test_cancelling_the_submitted_future_cancels_the_call(subject: Subject) -> None:
    with subject.slow() as call:
        future = subject.loop.submit(subject.engine.complete(call))
        future.cancel()
        with pytest.raises(CancelledError):
            future.result(timeout=60)
    completed(subject.complete(a_call(subject.model)))


def test_a_call_past_its_timeout_is_unknown_with_a_vendor_and_failed_in_the_house(
    subject: Subject,
) -> None:
    # Of a vendor's call it must be sure that it was sent; the house answers faster than that.
    waits = 2.0 if subject.metered else 0.1
    with subject.slow() as slow:
        call = a_call(
            slow.model, slow.question, output_limit=slow.output_limit, item="late", timeout=waits
        )
        reply = subject.complete(call)
    if subject.metered:
        assert isinstance(reply, Unknown), reply
    else:
        assert isinstance(reply, Failed), reply
        assert reply.transient
    assert reply.kind == "timeout"
    completed(subject.complete(a_call(subject.model)))


def test_many_calls_at_once_are_all_answered(subject: Subject) -> None:
    async def flood() -> list[Reply]:
        calls = [
            a_call(subject.model, f"Ticket {n}\n", item=f"i-{n}", output_limit=8) for n in range(64)
        ]
        return list(await asyncio.gather(*map(subject.engine.complete, calls)))

    answers = [completed(reply) for reply in subject.loop.run(flood(), timeout=120)]
    assert len(answers) == 64
    assert all(answer.usage.total_input > 0 for answer in answers)


def test_an_engine_that_serves_is_healthy_and_has_not_failed(subject: Subject) -> None:
    async def watched() -> bool:
        watch = asyncio.ensure_future(subject.engine.failed())
        done, _ = await asyncio.wait([watch], timeout=0.1)
        watch.cancel()
        return bool(done)

    assert subject.engine.healthy
    assert not subject.loop.run(watched(), timeout=60)


@pytest.mark.parametrize("kind", ["openai", "anthropic", *NULL])
def test_a_closed_engine_is_unavailable_and_can_be_closed_again(kind: str, tmp_path: Path) -> None:
    engine, model = made(kind, "http://127.0.0.1:9", tmp_path)

    async def closed() -> Reply:
        await engine.start()
        await engine.close()
        await engine.close()
        reply: Reply = await engine.complete(a_call(model))
        return reply

    reply = asyncio.run(closed())
    assert isinstance(reply, Unavailable)
    assert reply.kind == "engine_dead"
    assert not engine.healthy
