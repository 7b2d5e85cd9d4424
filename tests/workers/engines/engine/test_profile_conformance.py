"""Every profile over the wire, with the real SDKs, at a host that refuses what its vendor does.

The sandbox's list of vendors and the product's profiles are written apart, each from the vendors'
documents; here they are held against each other.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from examples.triage import triage
from sandbox.failing.faults import FLEX, KINDS
from sandbox.wires.vendors import vendors
from tests.workers.engines.engine.test_engine_asks import claimed, prepared
from tests.workers.engines.engine_calls import LABEL, a_call, a_sandbox
from tierqueue.router.outcome import (
    Accepted,
    Completed,
    Failed,
    Outcome,
    Rejected,
    Reply,
    Throttled,
    Unavailable,
    Unknown,
)
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.policy import parse_policy
from tierqueue.router.policy.profiles import PROFILES
from tierqueue.tasks import classify, complete, extract, summarize
from tierqueue.workers.caller import judge
from tierqueue.workers.engines import build
from tierqueue.workers.engines.engine import Call

TEXT = "The lift is stuck between two floors since 2026-03-01, refund 12.50 to a@b.com please"
WORK: dict[str, tuple[Any, dict[str, Any]]] = {
    "classify": (classify, {"text": TEXT, "labels": ["lift", "door"]}),
    "summarize": (summarize, {"text": TEXT}),
    "extract": (extract, {"text": TEXT, "fields": {"_id": "string", "total": "number"}}),
    "complete": (complete, {"prompt": TEXT}),
    "triage": (triage, {"ticket": TEXT}),
}
CHATS = [name for name, profile in PROFILES.items() if profile.engine == "openai"]
pytestmark = pytest.mark.long
everybody = pytest.mark.parametrize("name", PROFILES)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with a_sandbox(tmp_path_factory.mktemp("sandbox")) as address:
        yield address


def used(sandbox: str, name: str, **stated: Any) -> Deployment:
    """A deployment of the profile at the sandbox, with nothing stated of its wire."""
    profile = PROFILES[name]
    own = profile.base_url or {"azure": "/openai/v1"}.get(name, "/v1")
    lines: dict[str, Any] = {
        "tier": "frontier",
        "profile": name,
        "base_url": f"{sandbox}/as/{name}{urlsplit(own).path}",
        "boundary": f"vendor:{name}",
        "key_env": "KEY",
        "model": "frontier-large",
        "served_as": ["sandbox/*"],
        "context_window": 65_536,
        "simulated": True,
        **stated,
    }
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in lines.items())
    prices = 'prices = { input = "5", cache_read = "0.5", output = "25" }\n'
    policy = f"allow_simulated = true\n[deployments.d]\n{text}{prices}"
    return parse_policy(policy, "test").deployments["d"]


def replies(where: Deployment, *calls: Call) -> list[Reply]:
    """What comes of the calls, one after the other."""

    async def all_calls() -> list[Reply]:
        engine = build(where, {"KEY": "k"})
        await engine.start()
        try:
            return [await engine.complete(call) for call in calls]
        finally:
            await engine.close()

    return asyncio.run(all_calls())


def outcome(where: Deployment, work: str, **arguments: Any) -> Outcome:
    """What an item comes to at the deployment."""
    kind, given = WORK[work]
    given = given | arguments
    (reply,) = replies(where, prepared(where, kind, given))
    return judge(reply, claimed(kind, given, risk="internal", floor=None), kind, where)


def test_every_profile_is_played_and_nothing_else() -> None:
    assert {*vendors(), "anthropic"} == PROFILES.keys()


@everybody
@pytest.mark.parametrize("work", WORK)
def test_every_kind_of_work_is_done(sandbox: str, name: str, work: str) -> None:
    done = outcome(used(sandbox, name), work)
    if work in ("extract", "triage"):  # what is made up may not pass their checks
        assert isinstance(done, Accepted | Rejected), done
    else:
        assert isinstance(done, Accepted), done


@everybody
def test_the_limit_of_an_answer_holds(sandbox: str, name: str) -> None:
    where = used(sandbox, name)
    (reply,) = replies(where, a_call(where.model, output_limit=2))
    assert isinstance(reply, Completed), reply
    assert (reply.finish, reply.usage.output_tokens) == ("length", 2)


@everybody
def test_the_confidence_is_measured_where_the_profile_says_that_it_can_be(
    sandbox: str, name: str
) -> None:
    profile = PROFILES[name]
    shown = {profile.top_logprobs, profile.most_logprobs}
    for most in sorted(shown):
        where = used(sandbox, name, **({"top_logprobs": most} if most else {}))
        done = outcome(where, "classify")
        assert isinstance(done, Accepted), done
        assert (done.completed.confidence is not None) is where.tells_confidence


@pytest.mark.parametrize("name", CHATS)
def test_log_probabilities_that_a_vendor_has_not_are_done_without(sandbox: str, name: str) -> None:
    where = used(sandbox, name, top_logprobs=20)
    calls = [a_call(where.model, schema=LABEL, alternatives=20)] * 2
    if where.structured_output != "json_schema":
        calls = [a_call(where.model, alternatives=20)] * 2
    for reply in replies(where, *calls):
        assert isinstance(reply, Completed), reply
        # Fireworks shows five: twenty are refused, and the answer comes without any.
        assert bool(reply.tokens) is (PROFILES[name].most_logprobs == 20)


@everybody
def test_tokens_that_the_cache_served_are_told_apart(sandbox: str, name: str) -> None:
    where = used(sandbox, name)
    prefix = f"The handbook of {name} says nothing of note. " * 500
    calls = [a_call(where.model, question, prefix=prefix) for question in ("one?", "two?")]
    first, second = replies(where, *calls)
    assert isinstance(first, Completed), first
    assert isinstance(second, Completed), second
    assert first.usage.cache_read_tokens == 0
    assert (second.usage.cache_read_tokens > 4_000) is (vendor_tells(name))
    assert first.usage.total_input == pytest.approx(second.usage.total_input, abs=1)


def vendor_tells(name: str) -> bool:
    """Whether the sandbox's vendor counts them; servers of one's own do only when told to."""
    return name == "anthropic" or vendors()[name].cached != "none"


FAULTS: dict[str, Callable[[Reply], bool]] = {
    "429 after=7": lambda reply: reply == Throttled(after=7.0),
    "500": lambda reply: isinstance(reply, Unavailable) and reply.kind == "outage",
    "503 after=2": lambda reply: isinstance(reply, Unavailable) and reply.after == 2.0,
    "unauthorized": lambda reply: isinstance(reply, Unavailable) and reply.kind == "unauthorized",
    "no_quota": lambda reply: isinstance(reply, Unavailable) and reply.kind == "quota",
    "no_model": lambda reply: isinstance(reply, Unavailable) and reply.kind == "not_found",
    "bad_request": lambda reply: isinstance(reply, Failed) and not reply.transient,
    "too_large": lambda reply: isinstance(reply, Failed) and reply.reason == "too_large",
    "too_large status=413": lambda reply: isinstance(reply, Failed) and reply.reason == "too_large",
    "hang": lambda reply: isinstance(reply, Unknown) and reply.kind == "timeout",
    "mute": lambda reply: isinstance(reply, Unknown) and reply.kind == "timeout",
    "garbage": lambda reply: isinstance(reply, Unknown) and reply.kind == "garbage",
    "gateway": lambda reply: isinstance(reply, Unknown) and reply.kind == "gateway",
    "charged_lost": lambda reply: isinstance(reply, Unknown) and reply.kind == "connection_lost",
    "no_usage": lambda reply: isinstance(reply, Unknown) and reply.kind == "unreadable_bill",
    "zero_usage": lambda reply: isinstance(reply, Unknown) and reply.kind == "unreadable_bill",
    "error_in_200": lambda reply: reply == Throttled(after=None),
    "truncated": lambda reply: isinstance(reply, Completed) and reply.finish == "length",
    "filtered": lambda reply: isinstance(reply, Completed) and reply.finish == "filtered",
    "too_long": lambda reply: isinstance(reply, Completed) and reply.finish == "too_long",
    "no_finish": lambda reply: isinstance(reply, Completed) and reply.finish == "stop",
    "invalid": lambda reply: isinstance(reply, Completed) and reply.finish == "stop",
    "overage": lambda reply: isinstance(reply, Completed) and reply.usage.output_tokens >= 192,
    "thinks": lambda reply: isinstance(reply, Completed) and "<think>" in reply.text,
    "other_model": lambda reply: (
        isinstance(reply, Completed) and reply.model_served == "sandbox-other-model"
    ),
}
"""What each fault is taken for, whoever's it is."""


NOT_ASKED = {("no_quota", name) for name in ("vllm", "sglang", "llama.cpp", "ollama")} | {
    # A 429 of Anthropic's does not say how much was asked: it is a throttle.
    ("too_large", "anthropic")
}
"""A server of one's own has no account that could be empty."""


@pytest.mark.parametrize(
    ("fault", "name"),
    [(fault, name) for name in PROFILES for fault in FAULTS if (fault, name) not in NOT_ASKED],
)
def test_a_fault_is_taken_for_what_it_is(sandbox: str, name: str, fault: str) -> None:
    where = used(sandbox, name)
    timeout = 1.0 if fault in ("hang", "mute") else 60.0
    call = a_call(where.model, f"[[sandbox:{fault}]] Is it so?", timeout=timeout)
    (reply,) = replies(where, call)
    assert FAULTS[fault](reply), reply


@everybody
def test_a_streamed_answer_says_and_costs_what_a_whole_one_does(sandbox: str, name: str) -> None:
    where = used(sandbox, name, first_token_timeout=30)
    call = a_call(where.model, schema=LABEL if where.structured_output == "json_schema" else None)
    whole, streamed = replies(where, call, replace(call, first_token=30.0))
    assert isinstance(whole, Completed), whole
    assert isinstance(streamed, Completed), streamed
    assert (streamed.text, streamed.finish) == (whole.text, whole.finish)
    assert streamed.model_served == whole.model_served
    assert streamed.usage.total_input == whole.usage.total_input
    assert streamed.usage.output_tokens == whole.usage.output_tokens
    assert streamed.simulated


@everybody
def test_a_server_that_never_says_a_token_is_cut_off_at_the_first(sandbox: str, name: str) -> None:
    where = used(sandbox, name, first_token_timeout=30)
    call = a_call(where.model, "[[sandbox:mute]] Is it so?", first_token=1.0)
    (reply,) = replies(where, call)
    assert isinstance(reply, Unknown), reply
    assert reply.kind == "timeout"
    assert "no token" in reply.message


STREAMED_FAULTS = ("429 after=7", "500", "error_in_200", "truncated", "no_usage", "charged_lost")


@everybody
@pytest.mark.parametrize("fault", STREAMED_FAULTS)
def test_a_fault_of_a_stream_is_taken_for_what_it_is(sandbox: str, name: str, fault: str) -> None:
    where = used(sandbox, name)
    call = a_call(where.model, f"[[sandbox:{fault}]] Is it so?", first_token=30.0)
    (reply,) = replies(where, call)
    assert FAULTS[fault](reply), reply


def test_every_fault_of_the_sandbox_is_tried() -> None:
    # Those of the flex tier strike calls by it alone, in a file of their own.
    assert {fault.split()[0] for fault in FAULTS} == KINDS.keys() - set(FLEX)
