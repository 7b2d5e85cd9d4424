"""What a reply is worth for an item: validated, or refused for being another model's."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tests.ledger.claimed import a_claim, an_item
from tierqueue.router.outcome import (
    Accepted,
    Completed,
    Failed,
    Interrupted,
    Outcome,
    Rejected,
    Reply,
    Unknown,
    Usage,
)
from tierqueue.router.policy.deployment import Deployment
from tierqueue.tasks.kinds.classify import classify
from tierqueue.tasks.kinds.complete import complete
from tierqueue.workers.caller import Caller, judge
from tierqueue.workers.engines.engine import Call
from tierqueue.workers.leases import HeldItem
from tierqueue.workers.limits.bounds import Slot
from tierqueue.workers.process.event_loop import EventLoopThread
from tierqueue.workers.settler import SettlingCall

USAGE = Usage(input_tokens=10, output_tokens=5)


def deployment(**stated: Any) -> Deployment:
    return Deployment.model_validate(
        {
            "name": "best",
            "policy": "p",
            "tier": "frontier",
            "engine": "anthropic",
            "model": "claude-sonnet-4-5",
            "boundary": "vendor:v",
            "key_env": "KEY",
            "context_window": 1000,
            "prices": {"input": "1", "output": "2"},
            **stated,
        }
    )


def judged(served: str, risk: str | None, floor: str = "gpu", **stated: Any) -> Outcome:
    item = an_item(task=complete.name, risk=risk, floor=floor)
    claim = a_claim(item, arguments={"prompt": "p"})
    reply = Completed(text="yes", usage=USAGE, model_served=served)
    return judge(reply, claim, complete, deployment(**stated))


@pytest.mark.parametrize("risk", ["customer_facing", "auto_applied", None])
def test_another_models_answer_is_refused_and_billed_where_a_wrong_one_hurts(
    risk: str | None,
) -> None:
    outcome = judged("claude-haiku-tiny", risk)
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, outcome.usage) == ("wrong_model", USAGE)
    assert outcome.model_served == "claude-haiku-tiny"
    assert isinstance(judged("claude-haiku-tiny", "internal", "frontier"), Rejected)


def test_elsewhere_it_is_accepted_and_marked() -> None:
    outcome = judged("claude-haiku-tiny", "internal")
    assert isinstance(outcome, Accepted)
    assert outcome.completed.other_model


def test_a_deployment_that_asks_for_the_exact_model_takes_no_other_for_any_item() -> None:
    outcome = judged("claude-haiku-tiny", "internal", served_model="exact")
    assert isinstance(outcome, Rejected)
    assert outcome.reason == "wrong_model"
    same = judged("claude-sonnet-4-5-20250929", "internal", served_model="exact")
    assert isinstance(same, Accepted)


@pytest.mark.parametrize("served", ["claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4.5"])
def test_the_same_model_under_another_name_is_accepted_and_not_marked(served: str) -> None:
    outcome = judged(served, "auto_applied")
    assert isinstance(outcome, Accepted)
    assert not outcome.completed.other_model


def test_names_that_the_deployment_lists_are_the_same_model() -> None:
    outcome = judged("own-name", "auto_applied", served_as=["own-*"])
    assert isinstance(outcome, Accepted)
    assert not outcome.completed.other_model


def test_a_check_that_raises_is_the_task_types_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise LookupError("SSN 078-05-1120")

    monkeypatch.setattr("tierqueue.workers.caller.validate", broken)
    outcome = judged("claude-sonnet-4-5", "internal")
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.usage, outcome.transient) == ("task_code", USAGE, False)
    assert "078" not in outcome.message


class Engine:
    """Answers at once and counts who asked."""

    def __init__(self) -> None:
        self.asked: list[Call] = []

    async def complete(self, call: Call) -> Reply:
        self.asked.append(call)
        return Completed(text="yes", usage=USAGE, model_served=call.model)


def called(
    send_by: float,
    before: Callable[[str], None],
    *,
    engine: Engine | None = None,
    where: Deployment | None = None,
    deadline: int | None = None,
    told: list[Any] | None = None,
    taken: Callable[..., None] = lambda *_: None,
    contents: Callable[..., Any] = lambda _: {},
    kind: Any = complete,
    arguments: dict[str, Any] | None = None,
) -> tuple[Engine, list[SettlingCall]]:
    """What is sent and settled of one claimed item whose worker comes by ``before`` first.

    ``deadline`` in microseconds from the claim; ``told``: what the breaker is; ``taken`` is called
    with the leases.
    """
    engine = engine or Engine()
    loop, ended, there = EventLoopThread(), [], threading.Event()
    stated = {"risk": "internal", "floor": "gpu", "sensitivity": "public", "deadline": deadline}
    item = an_item(task=kind.name, **stated)
    heard: list[Any] = [] if told is None else told

    def put(call: SettlingCall) -> None:
        ended.append(call)
        there.set()

    nothing: Any = SimpleNamespace(
        take=taken, ended=lambda *end: heard.append(end), put=put, drop=lambda *_: None
    )
    caller = Caller(
        types={kind.name: kind},
        loop=loop,
        leases=nothing,
        settler=nothing,
        breaker=nothing,
        checkpoint=before,
        contents=contents,
    )
    station: Any = SimpleNamespace(deployment=where or deployment(), engine=engine)
    loop.start()
    try:
        claim = a_claim(item, arguments=arguments or {"prompt": "p"}, held=7)
        caller.start(
            station, [claim], {"i": Slot("slot", 0, 10, 10)}, send_by, lambda: None, Counter()
        )
        assert there.wait(5)
    finally:
        loop.stop(timeout=1.0)
    return engine, ended


def test_a_worker_that_was_frozen_between_its_grant_and_its_call_sends_nothing() -> None:
    send_by = time.monotonic() + 0.05

    def frozen(_: str) -> None:
        while time.monotonic() < send_by:
            pass

    engine, [settled] = called(send_by, frozen)
    assert engine.asked == []
    assert settled.call.outcome == Interrupted(kind="too_late")


def test_what_is_sent_says_by_when_it_has_to_leave() -> None:
    send_by = time.monotonic() + 60
    engine, [settled] = called(send_by, lambda _: None)
    assert [call.send_by for call in engine.asked] == [send_by]
    assert isinstance(settled.call.outcome, Accepted)


class Hanging(Engine):
    """Never answers; says what its time was."""

    async def complete(self, call: Call) -> Reply:
        self.asked.append(call)
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    def spent(self, _: Call) -> Usage:
        return Usage(engine_seconds=2.0)


HOUSE = {"engine": "vllm", "model": "m", "boundary": "house", "key_env": None}


@pytest.mark.parametrize("metered", [True, False])
def test_a_call_ends_at_its_items_deadline_whatever_its_deployment_allows(*, metered: bool) -> None:
    told: list[Any] = []
    where = deployment() if metered else deployment(**HOUSE)
    hanging = Hanging()
    _, [settled] = called(
        time.monotonic() + 60,
        lambda _: None,
        engine=hanging,
        where=where,
        deadline=50_000,
        told=told,
    )
    outcome = settled.call.outcome
    if metered:
        assert isinstance(outcome, Unknown)
    else:
        assert isinstance(outcome, Interrupted)
        assert outcome.usage.engine_seconds == 2.0
    assert outcome.kind == "deadline"
    # It says nothing of the deployment, which may have been about to answer.
    assert (settled.call.telling, told) == (False, [])


def test_a_call_that_is_aborted_before_it_has_begun_is_given_back_and_nothing_is_sent() -> None:
    def abort(_: str, holdings: dict[str, HeldItem]) -> None:
        for holding in holdings.values():
            holding.abort("lost_lease")
            holding.abort("drain")

    engine, [settled] = called(time.monotonic() + 60, lambda _: None, taken=abort)
    assert engine.asked == []
    assert settled.call.outcome == Interrupted(kind="lost_lease"), "the first reason stands"
    assert not settled.call.telling


def test_an_answer_is_asked_for_as_a_stream_where_its_first_token_has_a_time() -> None:
    for first in (None, 5.0):
        where = deployment(first_token_timeout=first)
        engine, _ = called(time.monotonic() + 60, lambda _: None, where=where)
        assert [call.first_token for call in engine.asked] == [first]


@pytest.mark.parametrize(
    ("told", "confidence", "reason"),
    [
        (20, 0.9, None),
        (20, 0.6, "low_confidence"),
        (20, None, "low_confidence"),
        (0, None, None),
    ],
)
def test_a_confidence_that_should_have_come_and_did_not_is_a_doubt(
    told: int, confidence: float | None, reason: str | None
) -> None:
    new = classify.new_item(("text", ["a", "b"], "", 0.7), {}, item_id="i")
    assert new.min_confidence == 0.7
    claim = a_claim(an_item(task=new.task), arguments=dict(new.arguments))
    reply = Completed(text='{"label":"a"}', usage=USAGE, model_served="m", confidence=confidence)
    where = deployment(engine="openai", model="m", top_logprobs=told)
    outcome = judge(reply, claim, classify, where)
    if reason is None:
        assert isinstance(outcome, Accepted)
        assert outcome.output == {"label": "a", "confidence": confidence}
    else:
        assert isinstance(outcome, Rejected)
        assert outcome.reason == reason
        assert outcome.confidence == confidence
