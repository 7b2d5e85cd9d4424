"""Whole answers in every shape that servers send: read over the wire with the real SDKs."""

import gzip
import json
from typing import Any

import pytest

from tests.workers.engines.engine_asked import GOOD, both, played
from tests.workers.engines.engine_calls import a_call, replies
from tierqueue.router.outcome import Completed, Failed, Reply, Unknown
from tierqueue.workers.engines.http import wire

UNSAID: Any = object()


def ended(kind: str, said: Any, text: str = "yes", output: int = 5, **around: Any) -> Reply:
    """The reply of a server that gives ``said`` as the reason for the answer's end."""
    body = json.loads(json.dumps(GOOD[kind]))
    body["usage"]["completion_tokens" if kind == "openai" else "output_tokens"] = output
    body["usage"].pop("total_tokens", None)
    if kind == "openai":
        body["choices"][0]["message"]["content"] = text
        holder, key = body["choices"][0], "finish_reason"
    else:
        body["content"] = [{"type": "text", "text": text}] if text else []
        holder, key = body, "stop_reason"
    holder |= around
    if said is UNSAID:
        del holder[key]
    else:
        holder[key] = said
    return played(kind, replies(200, body))


def finish_of(reply: Reply) -> str:
    assert isinstance(reply, Completed), reply
    return reply.finish


WORDS: dict[str, tuple[Any, ...]] = {
    "stop": (
        "stop",
        "eos",
        "eos_token",
        "stop_sequence",
        "end_turn",
        "STOP",
        "COMPLETE",
        "tool_use",
    ),
    "length": (
        "length",
        "max_tokens",
        "model_length",
        "MAX_TOKENS",
        "model_context_window_exceeded",
    ),
    "filtered": ("content_filter", "refusal", "SAFETY", "content_filter: RECITATION", "sensitive"),
    "other": ("pause_turn", "moonlight", "\x1b[31m", 7, ["stop"], {"why": "stop"}, True),
}
"""What vLLM, TGI, llama.cpp, Together, Cohere, Gemini, Mistral, Zhipu and Anthropic say."""


@both
@pytest.mark.parametrize(("meaning", "said"), [(m, w) for m, words in WORDS.items() for w in words])
def test_the_reason_for_an_end_is_known_in_every_servers_word(
    kind: str, meaning: str, said: Any
) -> None:
    reply = ended(kind, said)
    assert finish_of(reply) == meaning
    assert isinstance(reply, Completed)
    assert reply.text == "yes"


@both
@pytest.mark.parametrize("said", [None, "", "null", "FINISH_REASON_UNSPECIFIED", UNSAID])
def test_a_whole_answer_without_a_reason_is_taken_and_one_at_its_limit_is_cut_off(
    kind: str, said: Any
) -> None:
    assert finish_of(ended(kind, said)) == "stop"
    assert finish_of(ended(kind, said, output=64)) == "length"


def test_a_gateway_that_gives_no_reason_may_pass_on_the_providers_own() -> None:
    assert finish_of(ended("openai", None, native_finish_reason="MAX_TOKENS")) == "length"
    assert finish_of(ended("openai", "stop", native_finish_reason="MAX_TOKENS")) == "stop"


@both
def test_a_limit_that_went_into_reasoning_is_a_cut_off_answer(kind: str) -> None:
    reply = ended(kind, "length", text="", output=64)
    assert isinstance(reply, Completed)
    assert (reply.finish, reply.text) == ("length", "")


@both
def test_a_text_in_parts_is_put_together_without_the_thoughts(kind: str) -> None:
    parts = [
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": "y"},
        {"type": "text", "text": "es"},
        {"type": "text", "text": None},
        "odd",
    ]
    body = json.loads(json.dumps(GOOD[kind]))
    if kind == "openai":
        body["choices"][0]["message"]["content"] = parts
    else:
        body["content"] = parts
    reply = played(kind, replies(200, body))
    assert isinstance(reply, Completed)
    assert reply.text == "yes"


@both
def test_half_a_character_is_replaced_and_a_whole_one_kept(kind: str) -> None:
    for sent, read in (
        ("half \ud83d", "half \ufffd"),
        ("\ude00 half", "\ufffd half"),
        ("😀", "😀"),
    ):
        reply = ended(kind, "stop", text=sent)
        assert isinstance(reply, Completed)
        assert reply.text == read
        assert reply.text.encode()


@both
@pytest.mark.parametrize(
    ("model", "served"),
    [
        ("served-2026-01-01", "served-2026-01-01"),
        ("vendor/served:free", "vendor/served:free"),
        (None, "m"),
        ("", "m"),
        ("x" * 201, "?"),
        ("\x1b[2Jserved", "?"),
        ("two\nlines", "?"),
        ({"name": "m"}, "?"),
        (7, "?"),
    ],
)
def test_the_name_of_the_model_that_answered_is_kept_if_it_is_one(
    kind: str, model: Any, served: str
) -> None:
    reply = played(kind, replies(200, {**GOOD[kind], "model": model}))
    assert isinstance(reply, Completed)
    assert reply.model_served == served


ODD_BODIES = [
    b"",
    b"null",
    b"[]",
    b'"text"',
    b"[" * 200_000,
    b'{"usage": ' * 50_000,
    b'{"choices": 1' + b"0" * 5000 + b"}",
    b"\xff\xfe\x00",
]


@both
@pytest.mark.parametrize("body", ODD_BODIES, ids=range(len(ODD_BODIES)))
def test_a_body_that_is_no_object_is_garbage_and_may_have_been_billed(
    kind: str, body: bytes
) -> None:
    reply = played(kind, replies(200, body))
    assert isinstance(reply, Unknown)
    assert reply.kind == "garbage"
    house = played(kind, replies(200, body), metered=False)
    assert isinstance(house, Failed)
    assert house.transient


@both
@pytest.mark.parametrize("odd", [None, [], [None], [[]], {}, "yes", 7, [{"message": "yes"}]])
def test_an_answer_in_an_odd_shape_is_an_empty_one(kind: str, odd: Any) -> None:
    reply = played(kind, replies(200, {**GOOD[kind], "choices": odd, "content": odd}))
    assert isinstance(reply, Completed)
    assert reply.text in ("", "yes")
    assert reply.usage.output_tokens == 5


@pytest.mark.long
@both
def test_a_reply_beyond_any_size_is_not_read_to_its_end(kind: str) -> None:
    whole = json.dumps(GOOD[kind]).encode()
    padded = replies(200, whole + b" " * wire.MOST_BYTES)
    bomb = gzip.compress(whole + b" " * (300 << 20), compresslevel=1)
    assert len(bomb) > wire.MOST_PACKED_BYTES
    for play in (padded, replies(200, bomb, {"content-encoding": "gzip"})):
        reply = played(kind, play, a_call("m", timeout=60.0))
        assert isinstance(reply, Unknown), reply
        assert "TooLarge" in reply.message
    packed = replies(200, gzip.compress(whole), {"content-encoding": "gzip"})
    assert isinstance(played(kind, packed), Completed)


@both
@pytest.mark.parametrize(
    "model", ["/models/llama", "./m.gguf", "@cf/meta/llama-3.1", "größe", "m (local)", "x" * 300]
)
def test_a_server_may_answer_with_any_name_that_it_was_asked_for(kind: str, model: str) -> None:
    body = {**GOOD[kind], "model": model}
    reply = played(kind, replies(200, body), a_call(model, timeout=60.0))
    assert isinstance(reply, Completed)
    assert reply.model_served == model
