"""The ASGI application: one request from arrival to log line to reply."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from math import ceil
from typing import Any

from sandbox.answering.odd import altered
from sandbox.batch.message_batches import MessageBatches
from sandbox.batch.server import Batches, BatchRequest, Moved
from sandbox.log import Entry, Log
from sandbox.serving import Desk, Model, input_tokens, prompt_sha256
from sandbox.wires.call import Call, Json, Refused, Served
from sandbox.wires.events import Message, Send, Stream
from sandbox.wires.vendors import vendors
from sandbox.wires.wire import Headers, Wire
from sandbox.wires.wire_anthropic import AnthropicWire
from sandbox.wires.wire_openai import OpenAIWire
from sandbox.wires.wire_vendor import VendorWire

Receive = Callable[[], Awaitable[Message]]
Drop = Callable[[], None]

GARBAGE = b"<html><body>simulated gateway page, not JSON</body></html>"
_JSON: tuple[bytes, bytes] = (b"content-type", b"application/json")
_HTML: tuple[bytes, bytes] = (b"content-type", b"text/html")
_WIRES: dict[str, Wire] = {
    "/v1/chat/completions": OpenAIWire(),
    "/v1/messages": AnthropicWire(),
    "/as/anthropic/v1/messages": AnthropicWire(),
    **{
        f"/as/{vendor.name}{vendor.path}/chat/completions": VendorWire(vendor)
        for vendor in vendors().values()
    },
}


class Application:
    """``scope["state"]["drop"]`` must be a callable that cuts the request's connection."""

    def __init__(
        self,
        desk: Desk,
        log: Log,
        latency: float,
        batches: Sequence[Batches | MessageBatches],
    ) -> None:
        self._desk = desk
        self._batches = batches
        self._log = log
        self._latency = latency
        self._waiting: set[asyncio.Task[Any]] = set()

    def stop(self) -> None:
        """Cut off every call that is waiting, so that the process can end at once."""
        for task in list(self._waiting):
            task.cancel()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers one HTTP request."""
        path, method = scope["path"], scope["method"]
        wire = _WIRES.get(path)
        if wire is not None and method == "POST":
            await self._call(wire, scope, receive, send)
        elif path == "/healthz" and method == "GET":
            health = {"status": "ok", "simulated": True, "in_flight": self._desk.in_flight}
            await _reply(send, 200, [_JSON], _dump(health))
        elif path == "/log/summary" and method == "GET":
            await _reply(send, 200, [_JSON], _dump(self._log.summary()))
        elif path == "/v1/models" and method == "GET":
            await self._list(dict(scope["headers"]), send)
        elif serving := [one for one in self._batches if one.serves(path)]:
            await self._batch(serving[0], scope, receive, send)
        else:
            missing = Refused(404, f"the sandbox has no {method} {path}")
            await _reply(send, 404, [_JSON], _dump(OpenAIWire().error(missing, "")))

    async def _list(self, headers: dict[bytes, bytes], send: Send) -> None:
        wire: Wire = OpenAIWire()
        if not AnthropicWire().key(headers):
            refused = Refused(401, "the sandbox wants a key too: any that is not empty")
            await _reply(send, 401, [_JSON], _dump(wire.error(refused, "")))
            return
        names = [price.match.rstrip("*") for price in self._desk.prices.prices]
        found = [
            {"id": name, "object": "model", "created": 0, "owned_by": "sandbox"} for name in names
        ]
        await _reply(send, 200, [_JSON], _dump({"object": "list", "data": found}))

    async def _batch(
        self, batches: Batches | MessageBatches, scope: Message, receive: Receive, send: Send
    ) -> None:
        """Files and batches, which no fault strikes but those of the requests in them."""
        headers, wire = dict(scope["headers"]), batches.wire
        try:
            body = await _body(receive)
            asked = BatchRequest(
                key=wire.key(headers),
                method=scope["method"],
                path=scope["path"],
                query=scope["query_string"],
                kind=_text(headers, b"content-type") or "",
                body=body,
            )
            answer = batches.answer(asked)
        except Refused as refused:
            await _reply(send, refused.status, [_JSON], _dump(wire.error(refused, "")))
            return
        except ConnectionAbortedError:
            return
        if isinstance(answer, Moved):
            await _reply(send, 302, [(b"location", answer.location.encode())], b"")
        elif isinstance(answer, bytes):
            await _reply(send, 200, [(b"content-type", b"application/octet-stream")], answer)
        else:
            await _reply(send, 200, [_JSON], _dump(answer))

    async def _call(self, wire: Wire, scope: Message, receive: Receive, send: Send) -> None:
        """Read, admit, play the fault, log, reply."""
        headers = dict(scope["headers"])
        entry = Entry(
            wire.api,
            time.time(),
            item=_text(headers, b"x-tierqueue-item"),
            fence=_text(headers, b"x-tierqueue-fence"),
            attempt=_text(headers, b"x-tierqueue-attempt"),
        )
        more: Headers = []
        stream = None
        try:
            call, model = self._admit(wire, headers, await _body(receive), entry)
            stream = Stream(send) if call.streamed else None
            try:
                served = await self._serve(call, model, entry, receive, stream)
                seq = self._log.seq + 1
                answer = altered(wire.answer(call, served, seq), entry.fault)
                parts = wire.events(call, answer) if stream is not None else []
                body = _dump(answer)
            finally:
                model.gate.leave()
        except Refused as said:
            refused = wire.worded(said)
            entry.status = 200 if refused.inside else refused.status
            entry.fault = refused.fault or entry.fault
            error = wire.error(refused, f"req_sandbox_{self._log.seq + 1}")
            parts = [error] if isinstance(error, dict) else error
            body = _dump(error)
            more = _retry_after(refused)
        except (asyncio.CancelledError, ConnectionAbortedError) as cut:
            entry.fault = "stopped" if isinstance(cut, asyncio.CancelledError) else "hung_up"
            body = b""
        seq = self._log.write(entry, time.time())
        if entry.status == 0:
            await _cut(scope["state"]["drop"], receive)
            return
        gate = self._desk.gate(entry.model)
        left, limits = gate.remaining(time.monotonic()), (gate.limit.rpm, gate.limit.tpm)
        if not gate.limit.told:
            left = limits = (None, None)
        more = [*wire.headers(seq, left, limits), *more]
        if entry.fault in ("garbage", "gateway"):
            await _reply(send, entry.status, [_HTML, *more], GARBAGE)
        elif stream is not None and entry.status == 200:
            await stream.end(parts, more)
        else:
            await _reply(send, entry.status, [_JSON, *more], body)

    def _admit(
        self, wire: Wire, headers: dict[bytes, bytes], body: bytes, entry: Entry
    ) -> tuple[Call, Model]:
        """The call, admitted by its model's limits."""
        if not wire.key(headers):
            raise Refused(401, "the sandbox wants a key too: any that is not empty")
        if len(body) > wire.most_bytes:
            raise Refused(413, "Request exceeds the maximum size")
        try:
            asked = json.loads(body)
        except (ValueError, RecursionError):
            raise Refused(400, "the body is not JSON") from None
        if not isinstance(asked, dict):
            raise Refused(400, "the body is not a JSON object")
        call = wire.read(asked)
        entry.model, entry.prompt_sha256 = call.model, prompt_sha256(call)
        model = self._desk.model(call.model)
        model.max_in_flight = max(model.max_in_flight, self._log.max_in_flight(call.model))
        entry.max_in_flight = model.max_in_flight
        model.gate.enter(time.monotonic(), input_tokens(call))
        model.max_in_flight = max(model.max_in_flight, model.gate.in_flight)
        entry.max_in_flight = model.max_in_flight
        return call, model

    async def _serve(
        self, call: Call, model: Model, entry: Entry, receive: Receive, stream: Stream | None
    ) -> Served:
        """Play the fault, work out the answer, fill in what the log will say of it."""
        came = time.time()
        fault = self._desk.fault(call, model, entry.prompt_sha256 or "")
        ordinal = model.ordinal
        seconds = self._latency
        if fault is not None:
            entry.fault = fault.kind
            fault.refuse()
            if fault.kind in ("hang", "mute") and fault.amount is not None:
                seconds = fault.amount
            if fault.kind == "mute" and stream is not None:
                await stream.alive()
        gone = bool(seconds) and await self._wait(seconds, receive)
        served = self._desk.serve(call, model, ordinal, fault, came)
        entry.usage, entry.tier = served.usage, served.tier
        entry.cost_nanousd = model.price.cost(served.usage, served.tier)
        entry.status = 0 if gone or entry.fault == "charged_lost" else 200
        if fault is not None and fault.kind == "gateway" and not gone:
            entry.status = int(fault.amount or 0)
        return served

    async def _wait(self, seconds: float, receive: Receive) -> bool:
        """Wait, or until the caller hangs up; whether it did.

        A call under way is billed in full all the same, as providers do.
        """
        task = asyncio.current_task()
        assert task is not None
        gone = asyncio.ensure_future(receive())
        self._waiting.add(task)
        try:
            await asyncio.wait({gone}, timeout=seconds)
            return gone.done()
        finally:
            self._waiting.discard(task)
            gone.cancel()


async def _body(receive: Receive) -> bytes:
    """The whole body. Raises ``ConnectionAbortedError`` if the caller leaves before its end."""
    read = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionAbortedError
        read += bytes(message["body"])
        if not message["more_body"]:
            return read


async def _cut(drop: Drop, receive: Receive) -> None:
    """Close the connection without a byte of reply, and wait until it is closed."""
    drop()
    while (await receive())["type"] != "http.disconnect":
        pass


async def _reply(send: Send, status: int, headers: Headers, body: bytes) -> None:
    whole = [*headers, (b"content-length", b"%d" % len(body)), (b"x-simulated", b"true")]
    await send({"type": "http.response.start", "status": status, "headers": whole})
    await send({"type": "http.response.body", "body": body})


def _retry_after(refused: Refused) -> Headers:
    """Whole seconds rounded up, and the exact wait in milliseconds."""
    if refused.after is None:
        return []
    return [
        (b"retry-after", b"%d" % ceil(refused.after)),
        (b"retry-after-ms", b"%d" % ceil(refused.after * 1000)),
    ]


def _text(headers: dict[bytes, bytes], name: bytes) -> str | None:
    value = headers.get(name)
    return None if value is None else value.decode("latin-1")


def _dump(value: Json | list[Json]) -> bytes:
    return json.dumps(value, ensure_ascii=True).encode()
