"""What a provider's replies and silences are taken for: each kind of engine, each kind of end."""

import asyncio
import logging
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.workers.engines.engine_asked import GOOD, KINDS, MODELS, SECRET, asked, both, played
from tests.workers.engines.engine_calls import (
    SCHEMA,
    a_call,
    a_sandbox,
    an_endpoint,
    cut_after_the_request,
    replies,
)
from tierqueue.router.outcome import (
    Completed,
    Failed,
    Interrupted,
    Reply,
    Throttled,
    Unavailable,
    Unknown,
)
from tierqueue.workers.engines.http import wire


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with a_sandbox(tmp_path_factory.mktemp("sandbox")) as address:
        yield address


def at(kind: str, sandbox: str, marker: str) -> Reply:
    url = f"{sandbox}/v1" if kind == "openai" else sandbox
    return asked(kind, url, a_call(MODELS[kind], f"{marker} Is it so?", timeout=60.0))


@both
def test_the_sandbox_says_that_it_is_a_simulation(kind: str, sandbox: str) -> None:
    reply = at(kind, sandbox, "")
    assert isinstance(reply, Completed)
    assert reply.simulated


@both
def test_too_many_requests_is_throttled_for_as_long_as_asked(kind: str, sandbox: str) -> None:
    assert at(kind, sandbox, "[[sandbox:429 after=7]]") == Throttled(after=7.0)
    assert at(kind, sandbox, "[[sandbox:429]]") == Throttled(after=None)


@both
def test_a_server_error_is_the_deployment_s_and_a_bad_request_the_item_s(
    kind: str, sandbox: str
) -> None:
    broken, refused = (
        at(kind, sandbox, "[[sandbox:500]]"),
        at(kind, sandbox, "[[sandbox:bad_request]]"),
    )
    assert isinstance(broken, Unavailable)
    assert broken.kind == "outage"
    assert isinstance(refused, Failed)
    assert not refused.transient


@both
def test_a_reply_that_is_garbage_or_lost_leaves_the_charge_unknown(kind: str, sandbox: str) -> None:
    assert isinstance(at(kind, sandbox, "[[sandbox:garbage]]"), Unknown)
    lost = at(kind, sandbox, "[[sandbox:charged_lost]]")
    assert isinstance(lost, Unknown)
    assert lost.kind == "connection_lost"


@both
def test_what_the_sandbox_does_as_real_servers_do_is_taken_for_what_it_is(
    kind: str, sandbox: str
) -> None:
    assert at(kind, sandbox, "[[sandbox:error_in_200]]") == Throttled(after=None)
    assert at(kind, sandbox, "[[sandbox:error_in_200 status=503]]") == at(
        kind, sandbox, "[[sandbox:503]]"
    )
    for marker, finish in (
        ("filtered", "filtered"),
        ("too_long", "too_long"),
        ("no_finish", "stop"),
    ):
        reply = at(kind, sandbox, f"[[sandbox:{marker}]]")
        assert isinstance(reply, Completed), marker
        assert (reply.finish, reply.simulated) == (finish, True)
        assert (reply.usage.output_tokens > 0) is (finish == "stop")
    for marker in ("no_usage", "zero_usage"):
        lost = at(kind, sandbox, f"[[sandbox:{marker}]]")
        assert isinstance(lost, Unknown), marker
        assert lost.kind == "unreadable_bill"
    other = at(kind, sandbox, "[[sandbox:other_model]]")
    assert isinstance(other, Completed)
    assert other.model_served == "sandbox-other-model"


@both
def test_a_truncated_answer_is_completed_and_says_so(kind: str, sandbox: str) -> None:
    reply = at(kind, sandbox, "[[sandbox:truncated]]")
    assert isinstance(reply, Completed)
    assert reply.finish == "length"


@both
def test_a_simulation_that_the_policy_does_not_declare_is_refused(kind: str, sandbox: str) -> None:
    url = f"{sandbox}/v1" if kind == "openai" else sandbox
    for marker in ("", "[[sandbox:500]]"):
        reply = asked(kind, url, a_call(MODELS[kind], marker + "?"), simulated=False)
        assert isinstance(reply, Unavailable)
        assert reply.kind == "undeclared_simulation"
        assert "deployment d is a simulation and the policy does not declare it" in reply.message


def an_error(code: str | None = None, kind: str | None = None) -> dict[str, Any]:
    return {"error": {"message": "You wrote: my secret prompt", "code": code, "type": kind}}


PERMANENT = [400, 422]


@both
@pytest.mark.parametrize("status", PERMANENT)
def test_what_is_wrong_with_the_request_fails_for_good(kind: str, status: int) -> None:
    reply = played(kind, replies(status, an_error("some_code")))
    assert isinstance(reply, Failed)
    assert not reply.transient
    assert reply.kind == f"http_{status}"
    assert reply.message == f"d: HTTP {status}, some_code"


@both
@pytest.mark.parametrize("status", [408, 409])
def test_what_came_at_a_bad_moment_may_be_tried_again(kind: str, status: int) -> None:
    reply = played(kind, replies(status, an_error(kind="server_error")))
    assert isinstance(reply, Failed)
    assert reply.transient


TROUBLES = {
    401: "unauthorized",
    402: "quota",
    403: "unauthorized",
    404: "not_found",
    500: "outage",
    502: "outage",
    503: "outage",
    504: "outage",
    529: "outage",
}


@both
@pytest.mark.parametrize("status", list(TROUBLES))
def test_what_no_item_brings_about_is_the_deployment_s(kind: str, status: int) -> None:
    reply = played(kind, replies(status, an_error("some_code"), {"retry-after": "25"}))
    message = f"d: HTTP {status}, some_code"
    assert reply == Unavailable(kind=TROUBLES[status], message=message, after=25.0)  # type: ignore[arg-type]


@both
@pytest.mark.parametrize("status", [503, 529])
def test_only_who_says_so_is_overloaded(kind: str, status: int) -> None:
    reply = played(kind, replies(status, an_error("some_code")))
    assert isinstance(reply, Unavailable)
    assert reply.overloaded is (status == 529)


@both
def test_a_throttle_says_which_limit_it_is_of(kind: str) -> None:
    error = {"error": {"message": "Rate limit reached for m on tokens per min (TPM)", "code": "x"}}
    reply = played(kind, replies(429, error))
    assert isinstance(reply, Throttled)
    assert reply.over == "tokens"


@both
@pytest.mark.parametrize("status", [502, 504, 520, 524])
def test_a_gateway_that_lost_the_reply_leaves_the_charge_unknown(kind: str, status: int) -> None:
    reply = played(kind, replies(status, b"<html>upstream timed out</html>"))
    assert isinstance(reply, Unknown)
    assert reply.kind == "gateway"


@both
@pytest.mark.parametrize("code", ["insufficient_quota", "billing_hard_limit_reached"])
def test_an_empty_account_is_no_throttling(kind: str, code: str) -> None:
    reply = played(kind, replies(429, an_error(code), {"retry-after": "1"}))
    assert isinstance(reply, Unavailable)
    assert reply.kind == "quota"


@both
def test_a_redirect_is_not_followed(kind: str) -> None:
    async def once() -> tuple[Reply, list[int]]:
        reached: list[int] = []

        async def elsewhere(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            reached.append(len(await reader.read(1)))

        async with (
            an_endpoint(elsewhere) as other,
            an_endpoint(replies(307, {}, {"location": f"{other}/v1/messages"})) as address,
        ):
            engine = KINDS[kind](
                deployment="d", base_url=address, key="k", simulated=False, metered=True
            )
            await engine.start()
            reply = await engine.complete(a_call("m"))
            await engine.close()
        return reply, reached

    reply, reached = asyncio.run(once())
    assert isinstance(reply, Unavailable)
    assert reply.kind == "not_found"
    assert reached == []


@both
def test_a_refused_connection_was_certainly_not_billed(kind: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    reply = asked(kind, f"http://127.0.0.1:{port}")
    assert isinstance(reply, Unavailable)
    assert reply.kind == "unreachable"


@both
def test_a_failed_tls_handshake_was_certainly_not_billed(kind: str) -> None:
    async def no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async def once() -> Reply:
        async with an_endpoint(no_tls) as address:
            url = address.replace("http:", "https:")
            engine = KINDS[kind](
                deployment="d", base_url=url, key="k", simulated=False, metered=True
            )
            await engine.start()
            try:
                reply: Reply = await engine.complete(a_call("m", timeout=60.0))
                return reply
            finally:
                await engine.close()

    reply = asyncio.run(once())
    assert isinstance(reply, Unavailable), reply
    assert reply.kind == "unreachable"


@both
def test_what_is_ready_to_leave_too_late_does_not_leave(kind: str) -> None:
    asked: list[bytes] = []

    async def listening(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        asked.append(await reader.read(1))

    late = time.monotonic() - 0.001
    reply = played(kind, listening, a_call("m", timeout=5.0, send_by=late))
    assert reply == Interrupted(kind="too_late")
    assert asked in ([], [b""])


@both
def test_a_surprise_after_sending_is_unknown_and_loud_without_the_payload(
    kind: str,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def surprised(response: httpx2.Response) -> dict[str, Any]:
        raise LookupError(response.text)

    monkeypatch.setattr(wire, "body_of", surprised)
    reply = played(kind, replies(200, GOOD[kind]))
    assert isinstance(reply, Unknown)
    assert reply.kind == "unexpected"
    # Where structlog writes depends on whether the application was imported before.
    said = "".join([*capsys.readouterr(), caplog.text])
    assert "engine_error_unexpected" in said
    assert "LookupError" in said
    assert "yes" not in reply.message + said


@both
def test_a_request_that_cannot_be_written_was_not_sent(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "header", str)
    call = a_call("m", labels={"attempt": "1\r\nx-other: 2"})
    reply = played(kind, replies(200, GOOD[kind]), call)
    assert isinstance(reply, Failed)
    assert not reply.transient


@both
def test_neither_prompt_nor_key_is_logged_at_any_level(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    call = a_call("m", "the customer's own words", schema=SCHEMA)
    for play in (replies(200, GOOD[kind]), replies(400, an_error()), cut_after_the_request):
        played(kind, play, call)
    assert "customer" not in caplog.text
    assert "secret prompt" not in caplog.text
    assert SECRET not in caplog.text
