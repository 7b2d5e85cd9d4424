"""Answers as streams of events: their pieces in the order in which a provider sends them."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Literal

from sandbox.wires.call import Json

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

UsageIn = Literal["none", "end", "last", "choice"]
"""Where chunks tell what was used: nowhere, in one of its own, in the last, in its choice."""

PIECE = 12
"""Characters in one event."""

ALIVE = b": the sandbox is processing\n\n"
"""A comment, as gateways send while the model says nothing."""


class Stream:
    """One reply as a stream; its head is sent once."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._begun = False

    async def begin(self, headers: list[tuple[bytes, bytes]]) -> None:
        """Send the head, unless it was sent already."""
        if self._begun:
            return
        self._begun = True
        kind = (b"content-type", b"text/event-stream; charset=utf-8")
        whole = [kind, (b"x-simulated", b"true"), *headers]
        await self._send({"type": "http.response.start", "status": 200, "headers": whole})

    async def alive(self) -> None:
        """Say that the call is under way, and no token of its answer."""
        await self.begin([])
        await self._send({"type": "http.response.body", "body": ALIVE, "more_body": True})

    async def end(self, events: list[Json], headers: list[tuple[bytes, bytes]]) -> None:
        """Send the events, and that they are all."""
        await self.begin(headers)
        for event in events:
            named = f"event: {event['type']}\n" if event.get("type") else ""
            body = f"{named}data: {json.dumps(event)}\n\n".encode()
            await self._send({"type": "http.response.body", "body": body, "more_body": True})
        last = b"" if any(event.get("type") for event in events) else b"data: [DONE]\n\n"
        await self._send({"type": "http.response.body", "body": last})


def chunks(answer: Json, usage_in: UsageIn) -> list[Json]:
    """The chunks of a ``chat.completion``; an error is one chunk."""
    if not answer.get("choices"):
        return [answer]
    choice = answer["choices"][0]
    head = {
        **{name: value for name, value in answer.items() if name not in ("choices", "usage")},
        "object": "chat.completion.chunk",
    }

    def chunk(delta: Json, **more: Any) -> Json:
        part = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None, **more}
        return {**head, "choices": [part]}

    text = choice["message"]["content"] or ""
    pieces = [text[at : at + PIECE] for at in range(0, len(text), PIECE)]
    found = [chunk({"role": "assistant", "content": ""})]
    found += [chunk({"content": piece}) for piece in pieces]
    tokens = (choice.get("logprobs") or {}).get("content") or []
    for number, piece in enumerate(found[1:] if tokens else []):
        # Each chunk has those of its own text, as far as tokens and pieces can be told apart.
        first, end = (at * len(tokens) // len(pieces) for at in (number, number + 1))
        piece["choices"][0]["logprobs"] = {"content": tokens[first:end]}
    found.append(chunk({}, finish_reason=choice["finish_reason"]))
    usage = answer.get("usage")
    if usage is None or usage_in == "none":
        return found
    if usage_in == "end":
        return [*found, {**head, "choices": [], "usage": usage}]
    into = found[-1] if usage_in == "last" else found[-1]["choices"][0]
    into["usage"] = usage
    return found


def of_message(answer: Json) -> list[Json]:
    """The events of a message; an error is one event."""
    if answer.get("type") != "message":
        return [answer]
    usage = answer.get("usage")
    text = answer["content"][0]["text"]
    start = {**answer, "content": [], "stop_reason": None}
    end: Json = {"type": "message_delta", "delta": {"stop_reason": answer["stop_reason"]}}
    if usage is not None:
        start["usage"] = {**usage, "output_tokens": min(1, usage["output_tokens"])}
        end["usage"] = {"output_tokens": usage["output_tokens"]}
    block = {"type": "text", "text": ""}
    found: list[Json] = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "ping"},
    ]
    for at in range(0, len(text), PIECE):
        delta = {"type": "text_delta", "text": text[at : at + PIECE]}
        found.append({"type": "content_block_delta", "index": 0, "delta": delta})
    return [*found, {"type": "content_block_stop", "index": 0}, end, {"type": "message_stop"}]
