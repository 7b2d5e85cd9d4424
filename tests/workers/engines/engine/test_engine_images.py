"""Images over the wire, with the real SDKs, to a provider as strict as the real ones."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.images import FORMATS, an_image
from tests.workers.engines.engine.test_engine_asks import sent
from tests.workers.engines.engine_asked import MODELS, asked
from tests.workers.engines.engine_calls import a_call, a_sandbox
from tierqueue.router.outcome import Completed, Failed
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.policy import parse_policy
from tierqueue.workers.engines.engine import SentImage

KINDS = ["openai", "anthropic"]


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with a_sandbox(tmp_path_factory.mktemp("images")) as address:
        yield address


def with_image(kind: str, form: str = "PNG", model: str | None = None, **changed: Any) -> Any:
    image = SentImage("0" * 64, FORMATS[form], an_image(form, (1024, 1024)))
    return a_call(model or MODELS[kind], images=[image], **changed)


def address(provider: str, kind: str) -> str:
    return f"{provider}/v1" if kind == "openai" else provider


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMATS)
def test_an_image_arrives_and_is_billed(provider: str, kind: str, form: str) -> None:
    plain = asked(kind, address(provider, kind), a_call(MODELS[kind]))
    seen = asked(kind, address(provider, kind), with_image(kind, form))
    assert isinstance(plain, Completed)
    assert isinstance(seen, Completed)
    more = {"openai": 1_659, "anthropic": 1_399}[kind]
    assert seen.usage.input_tokens == plain.usage.input_tokens + more


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_without_eyes_refuses_for_good(provider: str, kind: str) -> None:
    reply = asked(kind, address(provider, kind), with_image(kind, model="open-small"))
    assert isinstance(reply, Failed)
    assert (reply.transient, reply.reason) == (False, "refused")


def test_a_damaged_image_is_a_refusal_and_nothing_is_paid(provider: str) -> None:
    call = a_call(MODELS["anthropic"], images=[SentImage("0" * 64, "image/png", an_image()[:100])])
    reply = asked("anthropic", provider, call)
    assert isinstance(reply, Failed)
    assert reply.usage.input_tokens == 0


def deployment(kind: str) -> Deployment:
    text = (
        f'[deployments.d]\ntier = "frontier"\nengine = "{kind}"\nmodel = "m"\nkey_env = "KEY"\n'
        'boundary = "vendor:v"\ncontext_window = 8192\nvision = true\nimage_tokens = 2000\n'
    )
    return parse_policy(text, "test").deployments["d"]


def test_openai_is_sent_what_is_shared_then_the_image_then_the_question() -> None:
    body = asyncio.run(sent(deployment("openai"), with_image("openai")))
    shared, image, question = body["messages"][1]["content"]
    assert (shared["text"], question["text"]) == (
        "Labels: billing, bug, other.\n",
        "Where is my invoice?\n",
    )
    assert image["image_url"]["url"].startswith("data:image/png;base64,iVBOR")
    assert image["image_url"]["detail"] == "high"


def test_anthropic_is_sent_what_is_shared_then_the_image_then_the_question() -> None:
    body = asyncio.run(sent(deployment("anthropic"), with_image("anthropic")))
    shared, image, question = body["messages"][0]["content"]
    assert [part["type"] for part in (shared, image, question)] == ["text", "image", "text"]
    assert image["source"]["media_type"] == "image/png"
    assert image["source"]["data"].startswith("iVBOR")


def test_without_images_nothing_is_sent_otherwise_than_before() -> None:
    body = asyncio.run(sent(deployment("openai"), a_call("m")))
    assert isinstance(body["messages"][1]["content"], str)
