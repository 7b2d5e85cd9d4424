"""A reply that comes as a stream of events: its first token, and the body that it adds up to."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from tierqueue.workers.engines.http.wire import LISTENER, Unreadable

Body = dict[str, Any]

_DONE = b"[DONE]"
_SAYING = ("content", "refusal", "reasoning_content", "reasoning", "tool_calls")
"""Parts of a delta that hold tokens; a role alone, or an empty text, is none."""

_NOT_ITS_OWN = frozenset({"content-length", "content-encoding", "transfer-encoding"})


class NoToken(TimeoutError):
    """The first token of an answer did not come in time; the message says so."""


class FirstToken:
    """Listens to the bytes of a stream and calls ``heard`` once, at the first token.

    Comments, pings and events that only open an answer are none: gateways send them for as long as
    the model behind them says nothing.
    """

    def __init__(self, heard: Callable[[], None]) -> None:
        self._heard: Callable[[], None] | None = heard
        self._left = b""

    def __call__(self, chunk: bytes) -> None:
        """Listen to the next bytes."""
        if self._heard is None:
            return
        *lines, self._left = (self._left + chunk).split(b"\n")
        if any(_says_something(line) for line in lines):
            self.over()

    def over(self) -> None:
        """Nothing more is to be waited for: the answer is no stream."""
        heard, self._heard, self._left = self._heard, None, b""
        if heard is not None:
            heard()


@asynccontextmanager
async def first_token_within(seconds: float | None) -> AsyncIterator[None]:
    """Cut off the call that is made in here where its answer begins later; raises ``NoToken``."""
    if seconds is None:
        yield
        return
    try:
        async with asyncio.timeout(seconds) as waiting:

            def heard() -> None:
                if not waiting.expired():
                    waiting.reschedule(None)

            token = LISTENER.set(FirstToken(heard))
            try:
                yield
            finally:
                LISTENER.reset(token)
    except TimeoutError:
        if not waiting.expired():
            raise
        raise NoToken("no token of an answer came in time") from None


def whole(response: httpx2.Response, fold: Callable[[Iterable[Body]], Body]) -> httpx2.Response:
    """The reply as it would have come without a stream, or as it is where it is none.

    Raises ``Unreadable``.
    """
    kind: str = response.headers.get("content-type", "")
    if not response.is_success or not kind.lower().startswith("text/event-stream"):
        return response
    body = fold(_events(response.content))
    headers = {
        name: value for name, value in response.headers.items() if name not in _NOT_ITS_OWN
    } | {"content-type": "application/json"}
    return httpx2.Response(response.status_code, json=body, headers=headers)


def chat(events: Iterable[Body]) -> Body:
    """The ``chat.completion`` that the chunks add up to. Raises ``Unreadable`` for one without end.

    Its usage stands in the last chunk, at Moonshot in that chunk's choice, at Groq in ``x_groq``.
    """
    body: Body = {}
    choice: Body = {}
    said: list[Any] = []
    refused: list[str] = []
    tokens: list[Any] = []
    for event in events:
        body |= {name: value for name, value in event.items() if name != "choices" and value}
        for part in _first(event):
            delta = _table(part, "delta")
            given = delta.get("content")
            said += given if isinstance(given, list) else [given] if given else []
            refused += [text] if isinstance(text := delta.get("refusal"), str) else []
            tokens += _table(part, "logprobs").get("content") or []
            told = ("finish_reason", "native_finish_reason", "error")
            choice |= {name: part[name] for name in told if part.get(name)}
            body |= {"usage": part["usage"]} if part.get("usage") else {}
    other = _table(body, "x_groq").get("usage")
    body = {**({"usage": other} if other else {}), **body}
    error = body.get("error") or choice.get("error")
    if not error and not choice.get("finish_reason"):
        raise Unreadable("the stream has no end")
    if error and said:
        return _broken_off(body, _text(said), error)
    message = {"content": _parts(said), "refusal": "".join(refused) or None}
    whole_choice = {**choice, "message": message, "logprobs": {"content": tokens or None}}
    return body if error else {**body, "choices": [whole_choice]}


def messages(events: Iterable[Body]) -> Body:
    """The message that Anthropic's events add up to. Raises ``Unreadable`` for one without end."""
    body: Body = {}
    usage: Body = {}
    blocks: dict[Any, str] = {}
    ended, error = False, None
    for event in events:
        match event.get("type"):
            case "message_start":
                body = _table(event, "message")
                usage = _table(body, "usage")
            case "content_block_delta":
                text = _table(event, "delta").get("text")
                place = event.get("index")
                if isinstance(text, str) and isinstance(place, int):
                    blocks[place] = blocks.get(place, "") + text
            case "message_delta":
                body |= {name: value for name, value in _table(event, "delta").items() if value}
                told = _table(event, "usage").items()
                usage |= {name: value for name, value in told if value is not None}
            case "message_stop":
                ended = True
            case "error":
                error = _table(event, "error")
    if error is None and not ended:
        raise Unreadable("the stream has no end")
    body |= {"usage": usage} if usage else {}
    texts = [blocks[place] for place in sorted(blocks)]
    if error is not None:
        if texts:
            return _broken_off(body, "".join(texts), error)
        return {"type": "error", "error": error}
    return {**body, "content": [{"type": "text", "text": text} for text in texts]}


def _broken_off(body: Body, text: str, error: Any) -> Body:
    """An answer that an error ended half-way: what it costs, nobody has said."""
    half = {"message": {"content": text}, "error": error}
    left = {name: body[name] for name in body.keys() - {"usage", "error", "type", "content"}}
    return {**left, "choices": [half]}


def _events(content: bytes) -> Iterator[Body]:
    for line in content.split(b"\n"):
        data = _data(line)
        if data is None:
            continue
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            raise Unreadable("an event is not JSON") from None
        if not isinstance(event, dict):
            raise Unreadable("an event is not a JSON object")
        yield event


def _data(line: bytes) -> bytes | None:
    """What a line of the stream carries, if it carries something."""
    if not line.startswith(b"data:"):
        return None
    data = line.removeprefix(b"data:").strip()
    return None if data in (b"", _DONE) else data


def _says_something(line: bytes) -> bool:
    data = _data(line)
    if data is None:
        return False
    try:
        event = json.loads(data)
    except (ValueError, RecursionError):
        return True
    if not isinstance(event, dict) or event.get("error"):
        return True
    if event.get("type") in ("content_block_delta", "message_delta", "message_stop", "error"):
        return True
    return any(
        part.get("finish_reason") or any(_table(part, "delta").get(name) for name in _SAYING)
        for part in _first(event)
    )


def _first(event: Mapping[str, Any]) -> list[Body]:
    """The first choice's part of a chunk; a chunk that only counts has none."""
    choices = event.get("choices")
    known = choices if isinstance(choices, list) else []
    return [part for part in known if isinstance(part, dict) and not part.get("index")]


def _table(holder: Mapping[str, Any], key: str) -> Body:
    value = holder.get(key)
    return dict(value) if isinstance(value, dict) else {}


def _parts(said: list[Any]) -> Any:
    if all(isinstance(part, str) for part in said):
        return "".join(said)
    return [{"type": "text", "text": part} if isinstance(part, str) else part for part in said]


def _text(said: list[Any]) -> str:
    return "".join(part for part in said if isinstance(part, str)) or "?"
