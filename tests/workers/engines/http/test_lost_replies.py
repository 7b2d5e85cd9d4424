"""A reply that is lost after the request was sent: cut off, too late, or not to be read."""

import asyncio
import time
from itertools import count

import pytest

from tests.workers.engines.engine_asked import both, played
from tests.workers.engines.engine_calls import a_call, cut_after_the_request, read_request, replies
from tierqueue.router.outcome import Failed, Unavailable, Unknown
from tierqueue.workers.engines.engine_time import EngineTime
from tierqueue.workers.engines.http import api


async def cut_in_the_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{")
    await writer.drain()


WAITED_FOR = 60.0
"""Seconds until a reply is given up."""


def give_up() -> None:
    """Those seconds pass by the clock that the engine's event loop goes by, and by no other."""
    loop = asyncio.get_running_loop()
    before = loop.time
    loop.time = lambda: before() + WAITED_FOR  # type: ignore[method-assign]


def loop_clock() -> float:
    """That clock."""
    return asyncio.get_running_loop().time()


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await read_request(reader)
    give_up()
    await asyncio.Event().wait()


async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    for drops in count(1):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.01)
        if drops == 10:
            give_up()


LOST = {
    "cut after the request": (cut_after_the_request, "connection_lost"),
    "cut in the body": (cut_in_the_body, "connection_lost"),
    "no reply in time": (silent, "timeout"),
    "a reply that drips": (dripping, "timeout"),
    "not JSON": (replies(200, b"<html>hello</html>"), "garbage"),
    "no usage": (replies(200, {"choices": [], "content": []}), "unreadable_bill"),
    "a usage in words": (
        replies(200, {"usage": {"prompt_tokens": "many", "input_tokens": "many"}}),
        "unreadable_bill",
    ),
}


@both
@pytest.mark.parametrize("how", list(LOST))
def test_a_reply_lost_after_the_request_was_sent_is_unknown(kind: str, how: str) -> None:
    play, expected = LOST[how]
    reply = played(kind, play, a_call("m", timeout=WAITED_FOR))
    assert isinstance(reply, Unknown)
    assert reply.kind == expected


@both
def test_a_reply_lost_by_the_house_is_failed_and_charged_engine_time(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "EngineTime", lambda _: EngineTime(loop_clock))
    began = time.monotonic()
    reply = played(kind, silent, a_call("m", timeout=WAITED_FOR), metered=False)
    assert isinstance(reply, Failed)
    assert reply.transient
    really = time.monotonic() - began
    assert WAITED_FOR <= reply.usage.engine_seconds < WAITED_FOR + really


@both
def test_a_connection_that_the_house_cut_is_the_deployment_s_fault(kind: str) -> None:
    reply = played(kind, cut_after_the_request, metered=False)
    assert isinstance(reply, Unavailable)
    assert reply.kind == "outage"
    assert reply.usage.engine_seconds > 0
