"""A handful of real calls to each provider whose key is in the environment: ``make test-live``.

No part of ``make test``: the name of this file is none that pytest looks for. It costs less than a
cent a provider. ``LIVE_TOGETHER="model"`` asks another model, and for what has no address of its
own ``LIVE_VLLM="http://10.0.0.7:8000/v1 model"`` says where it is.
"""

import asyncio
import json
import os
from typing import Any

import pytest

from tests.workers.engines.engine.test_engine_asks import claimed, prepared
from tests.workers.engines.engine_calls import a_call
from tierqueue.router.outcome import Accepted, Completed, Reply, Unavailable
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.policy import parse_policy
from tierqueue.router.policy.profiles import PROFILES
from tierqueue.tasks import classify
from tierqueue.workers.caller import judge
from tierqueue.workers.engines import build

MODELS = {
    "openai": "gpt-4.1-nano",
    "anthropic": "claude-haiku-4-5",
    "openrouter": "openai/gpt-4.1-nano",
    "together": "meta-llama/Llama-3.3-70B-Instruct-Turbo",
    "fireworks": "accounts/fireworks/models/gpt-oss-20b",
    "deepinfra": "meta-llama/Llama-3.3-70B-Instruct-Turbo",
    "deepseek": "deepseek-chat",
    "groq": "llama-3.1-8b-instant",
    "moonshot": "kimi-k2.6",
    "mistral": "mistral-small-latest",
    "gemini": "gemini-2.5-flash-lite",
}
"""A cheap model of each, which its provider may have withdrawn since."""

HEADROOM = 2_000
"""Tokens for models that think before they answer."""

TICKET = {"text": "I was charged twice for one order.", "labels": ["billing", "bug", "praise"]}


@pytest.fixture(params=PROFILES)
def where(request: pytest.FixtureRequest) -> Deployment:
    """A deployment of each profile that can be called from here; the others are skipped, loudly."""
    name, profile = request.param, PROFILES[request.param]
    variable = f"LIVE_{name.replace('.', '_').upper()}"
    said = os.environ.get(variable, "").split()
    model = said[-1] if said else MODELS.get(name)
    url = said[0] if len(said) > 1 else profile.base_url
    if model is None or url is None:
        pytest.skip(f"{name}: NO CALL WAS MADE: set {variable} to its address and a model")
    if profile.key_env is not None and not os.environ.get(profile.key_env):
        pytest.skip(f"{name}: NO CALL WAS MADE: {profile.key_env} is not set")
    lines: dict[str, Any] = {
        "tier": "frontier",
        "profile": name,
        "model": model,
        "context_window": 8_192,
        "reasoning_tokens": HEADROOM,
        "timeout": 120,
    }
    if url != profile.base_url:
        whose = f"vendor:{name}" if profile.vendor else "house"
        lines |= {"base_url": url, "boundary": whose}
        lines |= {} if profile.key_env is None else {"key_env": profile.key_env}
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in lines.items())
    return parse_policy(f"[deployments.live]\n{text}", "live").deployments["live"]


def reply(where: Deployment, call: Any, environ: Any = os.environ) -> Reply:
    async def once() -> Reply:
        engine = build(where, environ)
        await engine.start()
        try:
            return await engine.complete(call)
        finally:
            await engine.close()

    return asyncio.run(once())


def test_a_ticket_is_classified(where: Deployment) -> None:
    call = prepared(where, classify, TICKET)
    told = reply(where, call)
    assert isinstance(told, Completed), told
    assert told.usage.total_input > 0
    assert 0 < told.usage.output_tokens <= call.output_limit
    done = judge(told, claimed(classify, TICKET, risk="internal", floor=None), classify, where)
    assert isinstance(done, Accepted), done
    assert done.output["label"] in TICKET["labels"]
    shown = done.completed.confidence
    assert shown is None or 0 <= shown <= 1


def test_an_answer_keeps_to_its_limit(where: Deployment) -> None:
    told = reply(where, a_call(where.model, "Count from one to a thousand.", output_limit=20))
    assert isinstance(told, Completed), told
    assert told.finish in ("length", "stop")
    assert told.usage.output_tokens <= 20


def test_a_model_that_is_not_there_is_told_as_such(where: Deployment) -> None:
    if not where.metered:
        pytest.skip(f"{where.profile}: a server of one's own may answer for any model")
    told = reply(where, a_call("no-such-model-anywhere", timeout=60.0))
    assert isinstance(told, Unavailable), told
    assert told.kind == "not_found"


def test_a_key_that_is_none_is_told_as_such(where: Deployment) -> None:
    if where.key_env is None:
        pytest.skip(f"{where.profile}: a server of one's own has no key")
    told = reply(where, a_call(where.model, timeout=60.0), {where.key_env: "not-a-key"})
    assert isinstance(told, Unavailable), told
    assert told.kind == "unauthorized"
