"""Calls and endpoints that the tests of the engines share."""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from tierqueue.workers.engines.engine import Call

LABELS = ("billing", "bug", "other")

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "label": {"type": "string", "enum": list(LABELS)},
        "share": {"type": "number", "description": "{minimum: 0, maximum: 1}"},
    },
    "required": ["label", "share"],
    "additionalProperties": False,
}
"""As vendors take it."""

BOUNDED: dict[str, Any] = {
    **SCHEMA,
    "properties": {
        "label": SCHEMA["properties"]["label"],
        "share": {"type": "number", "minimum": 0, "maximum": 1},
    },
}
"""As a grammar of the house takes it."""

LABEL: dict[str, Any] = {
    "type": "object",
    "properties": {"label": {"type": "string", "enum": list(LABELS)}},
    "required": ["label"],
    "additionalProperties": False,
}
"""A label and nothing else."""


def a_call(model: str, question: str = "Where is my invoice?\n", **changed: Any) -> Call:
    """A call with everything stated; ``changed`` replaces fields."""
    stated: dict[str, Any] = {
        "item": "item-1",
        "fence": 1,
        "model": model,
        "system": "You sort support tickets.\n",
        "prefix": "Labels: billing, bug, other.\n",
        "question": question,
        "schema": None,
        "schema_name": "ticket",
        "output_limit": 64,
        "timeout": 60.0,
    }
    return Call(**{**stated, **changed})


@contextlib.contextmanager
def a_sandbox(folder: Path, *flags: str) -> Iterator[str]:
    """The simulated provider as a process; yields its address."""
    command = [sys.executable, "-m", "sandbox", "--port", "0", "--log", str(folder / "log.jsonl")]
    command += flags
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["port"]
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)
        if process.stdout is not None:
            process.stdout.close()


Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def an_endpoint(play: Play) -> AsyncIterator[str]:
    """An address where each connection is handed to ``play``; cut off at the end."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await play(reader, writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """One whole request."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1])
        for line in head.lower().splitlines()
        if line.startswith(b"content-length:")
    )
    return head + await reader.readexactly(length)


async def cut_after_the_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The connection breaks once the request was read."""
    await read_request(reader)
    writer.transport.abort()


def replies(status: int, body: Any, headers: dict[str, str] | None = None) -> Play:
    """Answer each request on a connection with ``status`` and ``body`` (JSON, or raw bytes)."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"content-length": str(len(sent)), "content-type": "application/json"}
    head = "".join(f"{name}: {value}\r\n" for name, value in {**lines, **(headers or {})}.items())

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not reader.at_eof():
            try:
                await read_request(reader)
            except asyncio.IncompleteReadError:
                return
            writer.write(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + sent)
            await writer.drain()

    return play
