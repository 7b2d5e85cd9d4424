"""One call by each kind of API engine, to an address or to an endpoint that plays a part."""

import asyncio
from typing import Any

import pytest

from tests.workers.engines.engine_calls import (
    Play,
    a_call,
    an_endpoint,
)
from tierqueue.router.outcome import Reply
from tierqueue.workers.engines.anthropic import AnthropicEngine
from tierqueue.workers.engines.engine import Call
from tierqueue.workers.engines.openai import OpenAIEngine

KINDS: dict[str, Any] = {"openai": OpenAIEngine, "anthropic": AnthropicEngine}
MODELS = {"openai": "frontier-mini", "anthropic": "frontier-large"}
both = pytest.mark.parametrize("kind", list(KINDS))
SECRET = "sk-not-to-be-logged"

GOOD: dict[str, Any] = {
    "openai": {
        "model": "served",
        "choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    },
    "anthropic": {
        "model": "served",
        "content": [{"type": "text", "text": "yes"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 10, "output_tokens": 5},
    },
}


def asked(kind: str, address: str, call: Call | None = None, **told: Any) -> Reply:
    """What one engine says of one call to ``address``."""

    async def once() -> Reply:
        stated = {"deployment": "d", "key": SECRET, "simulated": True, "metered": True, **told}
        engine = KINDS[kind](base_url=address, **stated)
        await engine.start()
        try:
            reply: Reply = await engine.complete(call or a_call(MODELS[kind], timeout=60.0))
            return reply
        finally:
            await engine.close()

    return asyncio.run(once())


def played(kind: str, play: Play, call: Call | None = None, **told: Any) -> Reply:
    """What one engine says of one call to an endpoint that behaves like ``play``."""

    async def once() -> Reply:
        async with an_endpoint(play) as address:
            stated = {"deployment": "d", "key": SECRET, "simulated": False, "metered": True}
            engine = KINDS[kind](base_url=address, **{**stated, **told})
            await engine.start()
            try:
                reply: Reply = await engine.complete(call or a_call("m", timeout=60.0))
                return reply
            finally:
                await engine.close()

    return asyncio.run(once())
