"""Files of results are read line by line, whatever they are packed in and wherever they stand."""

import asyncio
import gzip
import json

import httpx2
import pytest

from tierqueue.workers.engines.batches import BatchOutput, ResultLine
from tierqueue.workers.engines.http import files, wire


def _line(text: bytes) -> ResultLine | None:
    try:
        return ResultLine(key=json.loads(text)["key"], status=200, body={})
    except ValueError:
        return None


def read(*responses: httpx2.Response) -> BatchOutput:
    """What these files say, one after the other."""
    by_name = {str(number): response for number, response in enumerate(responses)}

    async def content(name: str) -> httpx2.Response:
        return by_name[name]

    return asyncio.run(files.read(list(by_name), content, _line))


def test_lines_that_cannot_be_read_are_counted_and_empty_ones_are_none() -> None:
    found = read(httpx2.Response(200, content=b'{"key": "a"}\n\nno line\n{"key": "b"}\n'))
    assert [line.key for line in found.lines] == ["a", "b"]
    assert found.broken == 1


@pytest.mark.parametrize("first", [True, False])
def test_results_are_simulated_where_any_file_of_them_is(first: bool) -> None:
    marked = httpx2.Response(200, headers={"x-simulated": "true"}, content=b"")
    plain = httpx2.Response(200, content=b"")
    assert read(*((marked, plain) if first else (plain, marked))).simulated
    assert not read(plain).simulated


async def served(content: bytes, packed: str, cut: int = 0, more: bytes = b"") -> bytes:
    """What a client of ours reads of a file that a server sends packed so, without its end."""
    sent = gzip.compress(content, compresslevel=1) + more

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = sent[: len(sent) - cut]
        head = (
            f"HTTP/1.1 200 OK\r\ncontent-encoding: {packed}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, wire.http_client() as client:
        host, port = server.sockets[0].getsockname()
        return (await client.get(f"http://{host}:{port}/")).content


def test_a_large_file_is_read_whole_though_it_comes_packed() -> None:
    lines = b"".join(b'{"key": "%032x"}\n' % (number * 7919**8) for number in range(40_000))
    assert len(gzip.compress(lines, compresslevel=1)) > wire.MOST_PACKED_BYTES

    async def content(name: str) -> httpx2.Response:
        return httpx2.Response(200, content=await served(lines, name))

    found = asyncio.run(files.read(["gzip"], content, _line))
    assert (len(found.lines), found.broken) == (40_000, 0)


def test_a_file_that_unpacks_beyond_any_size_is_read_no_further() -> None:
    with pytest.raises(wire.TooLarge):
        asyncio.run(served(b" " * (2 * wire.MOST_BYTES), "gzip"))


@pytest.mark.parametrize(("packed", "cut"), [("gzip", 9), ("deflate", 0)])
def test_a_file_that_is_not_packed_as_it_says_is_an_error(packed: str, cut: int) -> None:
    with pytest.raises(httpx2.DecodingError):
        asyncio.run(served(b"lines\n" * 1000, packed, cut))


@pytest.mark.parametrize("zeros", [0, 5])
def test_what_is_packed_may_go_on_and_be_filled_up_with_zeros(zeros: int) -> None:
    more = bytes(zeros) + gzip.compress(b" and more") + bytes(zeros)
    assert asyncio.run(served(b"lines", "gzip", more=more)) == b"lines and more"


def test_a_reply_without_a_body_is_none_that_cannot_be_unpacked() -> None:
    assert asyncio.run(served(b"lines", "gzip", cut=len(gzip.compress(b"lines")))) == b""
