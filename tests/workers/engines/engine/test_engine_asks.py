"""What each engine sends for an item: the limit, the form of the answer, the headroom."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from tests.ledger.claimed import a_claim, an_item
from tests.tasks.answers.test_form import deployment
from tests.workers.engines.engine_asked import GOOD
from tests.workers.engines.engine_calls import an_endpoint, read_request
from tierqueue.ledger.lifecycle.claims import Claim
from tierqueue.router.policy.deployment import Deployment
from tierqueue.tasks import classify, complete, extract
from tierqueue.workers.engines import build
from tierqueue.workers.engines.engine import Call
from tierqueue.workers.engines.vllm.request import plain
from tierqueue.workers.request import prepare

LABELS = {"text": "Where is my card?", "labels": ["card", "login"]}


def claimed(kind: Any, arguments: dict[str, Any], **stated: Any) -> Claim:
    """A claim of an item as the ledger holds it."""
    new = kind.new_item((), arguments, item_id="item-1")
    fixed = {"id": new.id, "task": new.task, "sensitivity": "internal"}
    item = an_item(**{**fixed, "output_limit": new.output_limit, **stated})
    return a_claim(item, arguments=dict(new.arguments))


def prepared(where: Deployment, kind: Any, arguments: dict[str, Any], **stated: Any) -> Call:
    call = prepare(where, claimed(kind, arguments, **stated), kind)
    assert isinstance(call, Call), call
    return call


async def sent(where: Deployment, call: Call) -> dict[str, Any]:
    """The body of the request that the deployment's engine makes of ``call``."""
    bodies: list[bytes] = []

    async def play(reader: Any, writer: Any) -> None:
        bodies.append((await read_request(reader)).split(b"\r\n\r\n", 1)[1])
        reply = json.dumps(GOOD[where.engine]).encode()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
        writer.write(b"content-length: %d\r\n\r\n" % len(reply) + reply)
        await writer.drain()

    async with an_endpoint(play) as address:
        engine = build(where.model_copy(update={"base_url": address}), {"KEY": "k"})
        await engine.start()
        await engine.complete(call)
        await engine.close()
    body: dict[str, Any] = json.loads(bodies[0])
    return body


def asked(where: Deployment, kind: Any = classify, **arguments: Any) -> dict[str, Any]:
    return asyncio.run(sent(where, prepared(where, kind, arguments or LABELS)))


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_limit_has_the_name_that_the_host_takes(name: str) -> None:
    body = asked(deployment(limit_parameter=name))
    assert body[name] == 64
    assert len({"max_tokens", "max_completion_tokens"} & body.keys()) == 1


def test_a_schema_is_sent_in_the_strict_subset() -> None:
    body = asked(deployment())
    schema = body["response_format"]["json_schema"]
    assert (schema["name"], schema["strict"]) == ("Classification", True)
    assert schema["schema"]["properties"] == {
        "label": {"type": "string", "enum": ["card", "login"]}
    }
    assert schema["schema"]["required"] == ["label"]
    body = asked(deployment("anthropic"))
    assert body["output_config"]["format"]["schema"] == schema["schema"]


def test_a_host_without_schemas_has_it_in_the_prompt() -> None:
    body = asked(deployment(structured_output="json_object"))
    assert body["response_format"] == {"type": "json_object"}
    system = body["messages"][0]
    assert system["role"] == "system"
    assert '"enum":["card","login"]' in system["content"]
    plain = asked(deployment(structured_output="none"))
    assert "response_format" not in plain
    assert plain["messages"] == body["messages"]
    other = asked(deployment("anthropic", structured_output="none"))
    assert "output_config" not in other
    assert other["system"] == system["content"]


@pytest.mark.parametrize("kind", ["json_schema", "none"])
def test_a_model_without_a_system_role_has_it_all_in_one_message(kind: str) -> None:
    usual = asked(deployment(structured_output=kind))
    alone = asked(deployment(structured_output=kind, system_message=False))
    system, user = usual["messages"]
    joined = {"role": "user", "content": system["content"] + "\n\n" + user["content"]}
    assert alone["messages"] == [joined]
    body = asked(deployment(system_message=False), complete, prompt="hello")
    assert body["messages"] == [{"role": "user", "content": "hello"}]


def test_a_free_text_is_sent_without_any_form() -> None:
    for engine in ("openai", "anthropic"):
        body = asked(deployment(engine), complete, prompt="hello")
        assert body.keys() & {"response_format", "output_config", "system"} == set()


def test_reasoning_has_its_headroom_beyond_the_answers_own_limit() -> None:
    for engine, name in (("openai", "max_completion_tokens"), ("anthropic", "max_tokens")):
        where = deployment(engine, reasoning_tokens=2_000)
        assert asked(where)[name] == 2_064


def test_no_more_is_sent_than_the_route_held() -> None:
    where = deployment(reasoning_tokens=2_000)
    before = {"route": {"output_tokens": 64}}
    assert prepared(where, classify, LABELS, **before).output_limit == 64
    held = {"route": {"output_tokens": 2_064}}
    assert prepared(deployment(), classify, LABELS, **held).output_limit == 64


def test_each_prompt_is_as_short_as_its_bound() -> None:
    new = classify.new_item((), LABELS, item_id="i")
    for stated in ({}, {"structured_output": "json_object"}, {"structured_output": "none"}):
        call = prepared(deployment(**stated), classify, LABELS)
        schema = "" if call.schema is None else call.schema_name + json.dumps(call.schema)
        whole = call.system + call.prefix + call.question + schema
        assert len(whole.encode()) <= new.prompt_bytes


def test_probabilities_are_asked_for_where_the_deployment_gives_them() -> None:
    for given in (5, 20):
        body = asked(deployment(top_logprobs=given))
        assert (body["logprobs"], body["top_logprobs"]) == (True, given)
    for where in (deployment(), deployment("anthropic")):
        assert asked(where).keys() & {"logprobs", "top_logprobs"} == set()


def test_the_alternatives_are_asked_for_of_labels_alone_and_nothing_of_a_free_text() -> None:
    where = deployment(top_logprobs=20)
    fields = {"text": "t", "fields": {"sum": "number"}}
    body = asked(where, extract, **fields)
    assert body["logprobs"] is True
    assert "top_logprobs" not in body
    assert "logprobs" not in asked(where, complete, prompt="hello")


def test_alternatives_are_a_number_where_the_host_takes_one() -> None:
    where = deployment(top_logprobs=20, logprobs_parameter="number")
    body = asked(where)
    assert (body["logprobs"], "top_logprobs" in body) == (20, False)
    body = asked(where, extract, text="t", fields={"sum": "number"})
    assert (body["logprobs"], "top_logprobs" in body) == (1, False)


def shared(where: Deployment, prefix: str, question: str = "q") -> dict[str, Any]:
    call = replace(prepared(where, classify, LABELS), prefix=prefix, question=question)
    return asyncio.run(sent(where, call))


def test_a_shared_prefix_has_a_key_that_says_nothing_of_it() -> None:
    where, long = deployment(prompt_cache="key"), "The handbook. " * 100
    one, other = (shared(where, long, question)["prompt_cache_key"] for question in "qr")
    assert one == other
    assert len(one) == 32
    assert shared(where, long + "!")["prompt_cache_key"] != one
    assert "prompt_cache_key" not in shared(where, "short")
    assert "prompt_cache_key" not in shared(deployment(prompt_cache="none"), long)


def test_a_shared_prefix_is_marked_for_anthropic_unless_the_policy_says_none() -> None:
    long = "The handbook says nothing of note. " * 600
    (marked, question) = shared(deployment("anthropic"), long)["messages"][0]["content"]
    assert marked["cache_control"] == {"type": "ephemeral", "ttl": "5m"}
    assert "cache_control" not in question
    plain = shared(deployment("anthropic", prompt_cache="none"), long)
    assert "cache_control" not in plain["messages"][0]["content"][0]


def test_the_temperature_is_sent_where_the_policy_states_one() -> None:
    for engine in ("openai", "anthropic"):
        assert asked(deployment(engine, temperature=0))["temperature"] == 0
        assert "temperature" not in asked(deployment(engine))


@pytest.mark.engine
def test_vllm_answers_with_the_likeliest_words_unless_the_policy_says_otherwise() -> None:
    cold, warm = deployment("vllm"), deployment("vllm", temperature=0.7)
    found = [plain(prepared(where, classify, LABELS), str)["temperature"] for where in (cold, warm)]
    assert found == [0.0, 0.7]
