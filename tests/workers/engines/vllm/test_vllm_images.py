"""Images in vLLM inside the worker, with a model that takes them."""

import asyncio
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from tests.images import an_image
from tests.tiny_model import make_tiny_eyes
from tests.workers.engines.engine_calls import BOUNDED, a_call
from tierqueue.router.outcome import Completed, Failed, Reply
from tierqueue.workers.engines.engine import SentImage
from tierqueue.workers.engines.vllm import VllmEngine

pytestmark = [
    pytest.mark.processes,
    pytest.mark.engine,
    pytest.mark.usefixtures("forked_cores"),
    pytest.mark.filterwarnings("ignore"),  # vLLM and torch warn of their own future
]
SMALL = {"max_model_len": 512, "kv_cache_memory_bytes": 64 << 20, "max_num_seqs": 4}
AN_IMAGE = 4
"""Tokens that one counts as to the tiny model."""


def sent(body: bytes) -> SentImage:
    return SentImage(sha256(body).hexdigest(), "image/png", body)


def test_images_go_to_the_model_with_the_words_around_them(tmp_path: Path) -> None:
    model = str(make_tiny_eyes(tmp_path))
    engine = VllmEngine(deployment="eyes", model=model, options=SMALL, vision=True)
    asked = a_call(model, "What is it? ", output_limit=8)
    red, blue = (sent(an_image(size=(64, 48), colour=colour)) for colour in ("red", "blue"))
    broken = sent(an_image(size=(64, 48))[:-40])
    calls = {
        "none": asked,
        "one": replace(asked, item="one", images=[red]),
        "two": replace(asked, item="two", images=[red, blue]),
        "again": replace(asked, item="again", images=[red, blue]),
        "form": replace(asked, item="form", images=[red], schema=BOUNDED, output_limit=200),
        "broken": replace(asked, item="broken", images=[broken]),
    }

    async def lived() -> dict[str, Reply]:
        await engine.start()
        replies = {name: await engine.complete(call) for name, call in calls.items()}
        assert engine.healthy
        await engine.close()
        return replies

    replies = asyncio.run(lived())
    took = {}
    for name, reply in replies.items():
        if name != "broken":
            assert isinstance(reply, Completed), reply
            took[name] = reply.usage.input_tokens + reply.usage.cache_read_tokens
    assert (took["one"] - took["none"], took["two"] - took["one"]) == (AN_IMAGE, AN_IMAGE)
    assert replies["again"].text == replies["two"].text  # type: ignore[union-attr]
    assert replies["form"].text.startswith("{")  # type: ignore[union-attr]
    refused = replies["broken"]
    assert isinstance(refused, Failed)
    assert (refused.kind, refused.transient) == ("bad_request", False)
