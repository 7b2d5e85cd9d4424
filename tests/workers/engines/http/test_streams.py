"""Streams of events: they add up to the body that would have come whole, or say that they broke."""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.wires import events
from sandbox.wires.events import UsageIn
from tierqueue.workers.engines.http import streams
from tierqueue.workers.engines.http.wire import Unreadable

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
TOKENS = [{"token": "a", "logprob": -0.1}, {"token": "b", "logprob": -0.2}]


def chat(text: str, **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop", **more}
    return {"id": "c", "model": "m", "choices": [choice], "usage": USAGE}


def message(text: str) -> dict[str, Any]:
    return {
        "type": "message",
        "model": "m",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 10, "output_tokens": 5},
    }


def sent(parts: list[dict[str, Any]], *, ended: bool = True) -> bytes:
    lines = [b": a comment\n\n", *(b"data: " + json.dumps(part).encode() for part in parts)]
    return b"\n\n".join([*lines, b"data: [DONE]" if ended else b""]) + b"\n"


def folded(fold: Callable[[Any], Any], content: bytes) -> dict[str, Any]:
    headers = {"content-type": "text/event-stream; charset=utf-8", "x-simulated": "true"}
    whole = streams.whole(httpx2.Response(200, content=content, headers=headers), fold)
    assert whole.headers["x-simulated"] == "true"
    body: dict[str, Any] = whole.json()
    return body


@given(st.text(max_size=60), st.sampled_from(["end", "last", "choice"]))
def test_the_chunks_of_an_answer_add_up_to_it(text: str, where: UsageIn) -> None:
    answer = chat(text, logprobs={"content": TOKENS})
    body = folded(streams.chat, sent(events.chunks(answer, where)))
    choice = body["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == (text, "stop")
    assert (body["usage"], body["model"]) == (USAGE, "m")
    assert choice["logprobs"]["content"] == (TOKENS if text else None)


@given(st.text(max_size=60))
def test_the_events_of_a_message_add_up_to_it(text: str) -> None:
    body = folded(streams.messages, sent(events.of_message(message(text)), ended=False))
    assert "".join(part["text"] for part in body["content"]) == text
    assert (body["stop_reason"], body["model"]) == ("end_turn", "m")
    assert body["usage"] == {"input_tokens": 10, "output_tokens": 5}


def test_usage_is_found_where_groq_tells_it() -> None:
    *parts, last = events.chunks(chat("yes"), "none")
    parts.append({**last, "x_groq": {"id": "r", "usage": USAGE}})
    assert folded(streams.chat, sent(parts))["usage"] == USAGE


def test_a_stream_without_an_end_is_no_answer() -> None:
    half = events.chunks(chat("yes, and more than one piece"), "none")[:-1]
    with pytest.raises(Unreadable, match="no end"):
        folded(streams.chat, sent(half, ended=False))
    with pytest.raises(Unreadable, match="no end"):
        folded(streams.messages, sent(events.of_message(message("yes"))[:-1], ended=False))


@pytest.mark.parametrize("content", [b"data: {\n", b"data: [1]\n", b"data: " + b"[" * 9_000])
def test_an_event_that_is_no_json_object_is_unreadable(content: bytes) -> None:
    with pytest.raises(Unreadable):
        folded(streams.chat, content)


def test_an_error_before_the_first_token_is_an_error_and_after_it_a_broken_answer() -> None:
    error = {"error": {"code": 503, "message": "overloaded"}}
    assert folded(streams.chat, sent([error])) == error
    half = events.chunks(chat("yes"), "none")[:-1]
    (broken,) = folded(streams.chat, sent([*half, error]))["choices"]
    assert (broken["error"], broken["message"]["content"]) == (error["error"], "yes")
    kind = {"type": "error", "error": {"type": "overloaded_error", "message": "later"}}
    begun = events.of_message(message("yes"))
    assert folded(streams.messages, sent([*begun[:3], kind])) == kind
    late = folded(streams.messages, sent([*begun[:4], kind]))
    assert "usage" not in late
    assert late["choices"][0]["error"] == kind["error"]


OPENING = [
    b": OPENROUTER PROCESSING\n\n",
    b'event: ping\ndata: {"type": "ping"}\n\n',
    b'data: {"type": "message_start", "message": {"usage": {"input_tokens": 3}}}\n\n',
    b'data: {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}\n\n',
    b'data: {"choices": [], "usage": null}\n\n',
]
TELLING = [
    b'data: {"choices": [{"index": 0, "delta": {"content": "a"}}]}\n',
    b'data: {"choices": [{"index": 0, "delta": {"reasoning_content": "a"}}]}\n',
    b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n',
    b'data: {"type": "content_block_delta", "delta": {"type": "thinking_delta"}}\n',
    b'data: {"error": {"message": "no"}}\n',
]


@pytest.mark.parametrize("telling", TELLING)
def test_the_first_token_is_heard_once_and_no_sign_of_life_is_one(telling: bytes) -> None:
    heard: list[None] = []
    first = streams.FirstToken(lambda: heard.append(None))
    for chunk in OPENING:
        first(chunk)
    assert heard == []
    # However the bytes come.
    for byte in telling:
        first(bytes([byte]))
    first(telling)
    assert heard == [None]
