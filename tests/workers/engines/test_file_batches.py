"""What real providers answer about batches and their files that is not what was asked for.

The SDK is the real one, over a transport that answers as the test says.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx2
import openai
import pytest

from tierqueue.workers.engines.batches import (
    BatchOutput,
    BatchRefused,
    NotKnownYet,
    NotUnderstood,
    RemoteBatch,
)
from tierqueue.workers.engines.file_batches import FileBatches, line_of
from tierqueue.workers.engines.http import files
from tierqueue.workers.engines.http.wire import Unreadable
from tierqueue.workers.engines.mistral_batches import MistralBatches
from tierqueue.workers.engines.openai_batches import AzureBatches, OpenAIBatches
from tierqueue.workers.engines.together_batches import TogetherBatches

KINDS = [OpenAIBatches, AzureBatches, MistralBatches, TogetherBatches]
each = pytest.mark.parametrize("kind", KINDS)
Answer = Callable[[httpx2.Request], httpx2.Response]


T = TypeVar("T")


def asked(
    kind: type[FileBatches], answer: Answer, question: Callable[[FileBatches], Awaitable[T]]
) -> T:
    """What comes of a question to a provider that answers so."""

    async def ask() -> T:
        async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as http:
            client = openai.AsyncOpenAI(
                base_url="http://host/v1", api_key="k", max_retries=0, http_client=http
            )
            return await question(kind(client, "m"))

    return asyncio.run(ask())


def always(status: int, body: Any) -> Answer:
    return lambda _: httpx2.Response(status, json=body)


def create(batches: FileBatches) -> Awaitable[RemoteBatch]:
    return batches.create("ours", "file-1", ())


def find(batches: FileBatches) -> Awaitable[RemoteBatch | None]:
    return batches.find("ours", "file-1", 1e9, (), ())


@each
@pytest.mark.parametrize(
    "body", [{}, {"error": {"message": "try later"}}, {"id": None}, {"id": 7}, [], "made"]
)
def test_a_batch_that_was_made_and_is_not_named_is_never_taken_for_none(
    kind: type[FileBatches], body: Any
) -> None:
    with pytest.raises(NotUnderstood):
        asked(kind, always(200, body), create)


@each
@pytest.mark.parametrize(
    "body", [{}, {"data": None}, {"data": {}}, {"data": ["x"]}, {"error": {"message": "later"}}, 5]
)
def test_a_list_that_is_none_says_nothing_of_a_batch(kind: type[FileBatches], body: Any) -> None:
    with pytest.raises((NotKnownYet, Unreadable)):
        asked(kind, always(200, body), find)


@each
def test_a_batch_is_found_by_its_file_where_its_name_was_not_kept(kind: type[FileBatches]) -> None:
    batch = {"id": "b", "status": "?", "input_file_id": "file-1", "input_files": ["file-1"]}
    body: Any = [batch] if kind is TogetherBatches else {"data": [batch], "has_more": False}
    found = asked(kind, always(200, body), find)
    assert found is not None
    assert (found.id, found.over) == ("b", False)


def test_a_batch_is_looked_for_on_every_page() -> None:
    pages = {None: ["a1", "a2"], "a2": ["a3", "ours"], "ours": []}

    def answer(request: httpx2.Request) -> httpx2.Response:
        named = pages[request.url.params.get("after")]
        data = [{"id": name, "metadata": {"tierqueue": name}, "status": "x"} for name in named]
        return httpx2.Response(200, json={"data": data})

    found = asked(AzureBatches, answer, find)
    assert found is not None
    assert found.id == "ours"


@pytest.mark.parametrize("data", [[], [{"id": "x", "status": "?"}]])
def test_a_list_that_has_more_and_does_not_show_it_says_nothing_of_a_batch(data: Any) -> None:
    with pytest.raises(NotKnownYet):
        asked(OpenAIBatches, always(200, {"data": data, "has_more": True}), find)


def test_a_page_of_jobs_that_is_shorter_than_was_asked_for_is_not_the_last() -> None:
    pages: list[list[Any]] = [[{"id": "x", "input_files": []}], [{"id": "b", "input_files": ["f"]}]]

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json={"data": pages[int(request.url.params["page"])]})

    found = asked(MistralBatches, answer, lambda one: one.find("ours", "f", 1e9, (), ()))
    assert found is not None
    assert found.id == "b"


@pytest.mark.parametrize("ours", [0, 1, 2])
def test_a_batch_is_found_in_whatever_order_its_list_is(ours: int) -> None:
    created = [1.0, 2.0, 1.5]
    data: list[Any] = [{"id": f"x{moment}", "created_at": moment} for moment in created]
    data.insert(ours, {"id": "b", "created_at": 1e9, "input_file_id": "file-1"})
    pages = {None: data[:2], data[1]["id"]: data[2:]}

    def answer(request: httpx2.Request) -> httpx2.Response:
        named = request.url.params.get("after")
        return httpx2.Response(200, json={"data": pages[named], "has_more": named is None})

    found = asked(OpenAIBatches, answer, find)
    assert found is not None
    assert found.id == "b"


def test_a_list_with_the_newest_first_is_read_no_further_than_it_must() -> None:
    data = [{"id": "x", "created_at": 2e9}, {"id": "y", "created_at": 1e9 - 9_999}]
    assert asked(OpenAIBatches, always(200, {"data": data, "has_more": True}), find) is None


@pytest.mark.parametrize("moment", [10**400, None, "soon"])
def test_a_batch_of_no_moment_that_can_be_read_hides_no_other(moment: Any) -> None:
    data = [{"id": "x", "created_at": moment}, {"id": "b", "input_file_id": "file-1"}]
    found = asked(OpenAIBatches, always(200, {"data": data}), find)
    assert found is not None
    assert found.id == "b"


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (OpenAIBatches, {"request_counts": {"completed": 3, "failed": 0}}),
        (OpenAIBatches, {"output_file_id": "f"}),
        (MistralBatches, {"succeeded_requests": 3, "failed_requests": 0}),
        (MistralBatches, {"output_file": "f"}),
        (TogetherBatches, {"output_file_id": "f"}),
    ],
)
def test_a_batch_that_failed_after_some_of_it_was_served_was_not_refused_as_a_whole(
    kind: type[FileBatches], told: dict[str, Any]
) -> None:
    failed = {"id": "b", "status": "failed", "errors": {"data": [{"code": "server_error"}]}}
    assert asked(kind, always(200, failed), lambda one: one.check("b")).refused
    assert asked(kind, always(200, failed | told), lambda one: one.check("b")).refused == ()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"code": "token_limit_exceeded", "message": "m"}}, "token_limit_exceeded"),
        ({"error": {"code": None, "message": "token_limit_exceeded: x"}}, "token_limit_exceeded"),
        ({"error": {"code": "secret words of a payload"}}, "HTTP 400"),
        ("token_limit_exceeded", "HTTP 400"),
    ],
)
def test_what_does_not_fit_beside_others_now_is_told_from_what_never_does(
    body: Any, said: str
) -> None:
    with pytest.raises(BatchRefused) as raised:
        asked(AzureBatches, always(400, body), create)
    assert str(raised.value) == said


@pytest.mark.parametrize(
    ("status", "ready"),
    [("processed", True), ("pending", False), ("running", False), (None, False)],
)
def test_a_file_at_azure_is_waited_for_until_it_was_looked_through(
    status: str | None, ready: bool
) -> None:
    answer = always(200, {"id": "file-1", "status": status})
    assert asked(AzureBatches, answer, lambda batches: batches.ready("file-1")) is ready


def test_a_file_that_azure_cannot_read_is_refused() -> None:
    with pytest.raises(BatchRefused, match="file error"):
        asked(AzureBatches, always(200, {"status": "error"}), lambda one: one.ready("file-1"))


@pytest.mark.parametrize(
    ("told", "state", "answered", "refused"),
    [
        ({"status": "Validating", "request_counts": {"completed": None}}, "validating", None, ()),
        ({"status": "canceled", "request_counts": {}}, "cancelled", None, ()),
        (
            {"status": "completed", "request_counts": {"completed": 2, "failed": 1}},
            "completed",
            3,
            (),
        ),
        ({"status": "completed", "request_counts": [1]}, "completed", None, ()),
        ({"status": "failed", "errors": {"data": [{"code": "bad"}, 7]}}, "failed", None, ("bad",)),
        ({"status": "failed", "errors": "no list"}, "failed", None, ()),
        ({"status": None, "errors": []}, "?", None, ()),
    ],
)
def test_how_a_batch_stands_is_read_from_whatever_is_told_of_it(
    told: dict[str, Any], state: str, answered: int | None, refused: tuple[str, ...]
) -> None:
    answer = always(200, {"id": "b", "output_file_id": "", "error_file_id": None, **told})
    found = asked(AzureBatches, answer, lambda batches: batches.check("b"))
    assert (found.state, found.answered, found.refused) == (state, answered, refused)
    assert found.output == ()


def test_an_id_with_a_slash_asks_for_nothing_else() -> None:
    paths: list[bytes] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        paths.append(request.url.raw_path)
        return httpx2.Response(200, json={"id": "b", "status": "x"})

    asked(OpenAIBatches, answer, lambda batches: batches.check("../files/b?x"))
    assert paths == [b"/v1/batches/..%2Ffiles%2Fb%3Fx"]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b'{"custom_id": 5}',
        b'{"custom_id": "a"}',
        b'{"custom_id": "a", "response": {"status_code": "200", "body": {}}}',
        b'{"custom_id": "a", "response": {"status_code": true, "body": {}}}',
        b'{"custom_id": "a", "response": {"status_code": 200, "body": [1]}}',
        b'{"custom_id": "a", "response": {"status_code": 200, "body": {"usa',
        b'{"custom_id": "a", "response": {"status_code": ' + b"9" * 5000 + b"}}",
        b"[" * 100_000,
    ],
)
def test_a_line_that_cannot_be_read_is_none(text: bytes) -> None:
    assert line_of(text) is None


def test_a_line_of_an_error_says_its_code_whatever_its_form() -> None:
    for error, code in (({"code": "x"}, "x"), ({"message": "m"}, "?"), ("words", "?")):
        line = line_of(json.dumps({"custom_id": "a", "error": error}).encode())
        assert line is not None
        assert (line.code, line.answer) == (code, False)


def test_a_file_that_is_an_error_holds_no_line() -> None:
    answer = always(200, {"error": {"message": "the file is not there yet"}})
    remote = RemoteBatch(id="b", state="completed", over=True, output=("f",))
    found: BatchOutput = asked(OpenAIBatches, answer, lambda batches: batches.lines(remote))
    assert (list(found.lines), found.broken) == ([], 1)


@pytest.mark.parametrize(
    "where",
    ["http://elsewhere/f", "ftp://host/f", "", "http://host:1/loop", "http://169.254.169.254/"],
)
def test_a_file_elsewhere_is_read_over_tls_or_at_the_same_host_alone(where: str) -> None:
    headers = {"location": where} if where else {}
    request = httpx2.Request("GET", "https://host/v1/files/f/content")
    moved = httpx2.Response(302, headers=headers, request=request)
    with pytest.raises((httpx2.HTTPStatusError, httpx2.TransportError)):
        asyncio.run(files.elsewhere(moved, 5.0))
