"""Batches through the real SDK: the documented states, paid output of what expired, limits."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.batch.batch import OVER, Batch, Line
from sandbox.batch.files import Files
from sandbox.batch.requests import Request
from sandbox.batch.terms import WINDOW, Terms, read_terms
from sandbox.wires.call import Call
from tests.sandbox.conftest import Provider

CLOCK = 1_800_000_000


def request(key: str, prompt: str = "hello", **more: Any) -> dict[str, Any]:
    """One line of an input file."""
    body = {"model": "open-small", "messages": [{"role": "user", "content": prompt}], **more}
    return {"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": body}


def upload(provider: Provider, *requests: Any) -> str:
    """The id of an input file with these lines; what is text already is a line as it stands."""
    lines = [one if isinstance(one, str) else json.dumps(one) for one in requests]
    given_file = ("in.jsonl", "\n".join(lines).encode())
    return provider.openai.files.create(file=given_file, purpose="batch").id


def batch_of(provider: Provider, *requests: Any) -> Any:
    """A batch of these lines, as it is first told of."""
    return provider.openai.batches.create(
        input_file_id=upload(provider, *requests),
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"name": "ours"},
    )


def lines_of(provider: Provider, key: str | None) -> dict[str, Any]:
    """What stands in a file, by custom id; a malformed line as it is, under ``malformed``."""
    found: dict[str, Any] = {}
    for text in provider.openai.files.content(key or "").text.splitlines():
        try:
            line = json.loads(text)
            found[line["custom_id"]] = line
        except ValueError:
            found["malformed"] = text
    return found


@pytest.fixture
def slow(start: Callable[..., Provider], tmp_path: Path) -> tuple[Provider, Callable[[float], int]]:
    """Batches that take ten minutes on a clock that the test sets, in seconds after the start."""
    terms = 'seed = 3\nmedian = "10m"\ncancelling = "1m"\nclock = "clock"\nenqueued_tokens = 400\n'
    (tmp_path / "batches.toml").write_text(terms)
    clock = tmp_path / "clock"

    def at(seconds: float) -> int:
        return clock.write_text(str(CLOCK + seconds))

    at(0)
    return start("--batches", str(tmp_path / "batches.toml")), at


def test_a_batch_is_served_at_half_the_price_in_any_order(provider: Provider) -> None:
    live = provider.ask_openai("hello batch").parse()
    made = batch_of(provider, request("a", "hello batch"), request("b", "hello batch"))
    assert (made.status, made.metadata) == ("validating", {"name": "ours"})
    seen = provider.openai.batches.retrieve(made.id)
    assert seen.status == "completed"
    counts = seen.request_counts
    assert counts is not None
    assert (counts.total, counts.completed) == (2, 2)
    lines = lines_of(provider, seen.output_file_id)
    assert list(lines) == ["b", "a"]
    assert lines["a"]["response"]["body"]["usage"] == live.usage.model_dump(exclude_none=True)
    logged = provider.lines()[-3:]
    assert [line["batch"] for line in logged] == [False, True, True]
    assert logged[1]["cost_nanousd"] == -(-logged[0]["cost_nanousd"] // 2)


def test_what_a_request_meets_stands_in_its_own_line(provider: Provider) -> None:
    asked = [
        request("good"),
        request("refused", tools=[{"type": "function"}]),
        request("throttled", "[[sandbox:429]]"),
        request("malformed", "[[sandbox:garbage]]"),
        request("missing", "[[sandbox:charged_lost]]"),
    ]
    seen = provider.openai.batches.retrieve(batch_of(provider, *asked).id)
    assert set(lines_of(provider, seen.output_file_id)) == {"good", "malformed"}
    errors = lines_of(provider, seen.error_file_id)
    statuses = {key: line["response"]["status_code"] for key, line in errors.items()}
    assert statuses == {"refused": 400, "throttled": 429}
    billed = {line["item"] for line in provider.lines()[-5:] if line["cost_nanousd"]}
    assert billed == {"good", "malformed", "missing"}


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (["{"], "invalid_json_line"),
        ([request("a"), request("a")], "duplicate_custom_id"),
        ([{**request("a"), "url": "/v1/embeddings"}], "mismatched_endpoint"),
        ([request("a"), request("b", model="open-large")], "mismatched_model"),
        ([request("a", model="unheard-of")], "model_not_found"),
    ],
)
def test_a_file_that_cannot_be_read_fails_as_a_whole_and_costs_nothing(
    provider: Provider, lines: list[Any], code: str
) -> None:
    before = len(provider.lines())
    seen = provider.openai.batches.retrieve(batch_of(provider, *lines).id)
    assert (seen.status, seen.output_file_id) == ("failed", None)
    assert seen.errors is not None
    assert [error.code for error in seen.errors.data or []] == [code]
    assert len(provider.lines()) == before


def test_an_expired_batch_holds_the_output_that_was_paid_for(
    start: Callable[..., Provider], tmp_path: Path
) -> None:
    (tmp_path / "clock").write_text(str(CLOCK))
    (tmp_path / "b.toml").write_text('median = "40h"\nclock = "clock"\n')
    provider = start("--batches", str(tmp_path / "b.toml"))
    made = batch_of(provider, *[request(f"r{n}") for n in range(10)])
    (tmp_path / "clock").write_text(str(CLOCK + WINDOW))
    seen = provider.openai.batches.retrieve(made.id)
    assert seen.status == "expired"
    paid, unpaid = (
        lines_of(provider, seen.output_file_id),
        lines_of(provider, seen.error_file_id),
    )
    assert len(paid) == len(provider.lines()) == 6
    assert len(unpaid) == 4
    assert {line["error"]["code"] for line in unpaid.values()} == {"batch_expired"}


def test_a_batch_that_is_cancelled_goes_on_for_a_while(slow: Any) -> None:
    provider, at = slow
    made = batch_of(provider, *[request(f"r{n}") for n in range(10)])
    at(1)
    assert provider.openai.batches.retrieve(made.id).status == "in_progress"
    assert provider.openai.batches.cancel(made.id).status == "cancelling"
    with pytest.raises(openai.ConflictError):
        provider.openai.batches.cancel(made.id)
    at(61)
    seen = provider.openai.batches.retrieve(made.id)
    assert seen.status == "cancelled"
    counts = seen.request_counts
    assert counts.completed + counts.failed == counts.total == 10
    codes = {line["error"]["code"] for line in lines_of(provider, seen.error_file_id).values()}
    assert codes == {"batch_cancelled"}


def test_tokens_that_are_enqueued_are_limited_over_all_batches(slow: Any) -> None:
    provider, _ = slow
    first = batch_of(provider, request("a", "x" * 1200))
    assert first.status == "validating"
    second = batch_of(provider, request("b", "x" * 1200))
    assert second.status == "failed"
    assert second.errors.data[0].code == "token_limit_exceeded"


def test_files_and_batches_are_listed_a_page_at_a_time_newest_first(provider: Provider) -> None:
    made = [batch_of(provider, request(f"n{n}")).id for n in range(3)]
    listed = [batch.id for batch in provider.openai.batches.list(limit=2)]
    assert listed[:3] == made[::-1]
    key = upload(provider, request("a"))
    assert next(iter(provider.openai.files.list(purpose="batch", limit=1))).id == key
    assert provider.openai.files.delete(key).deleted
    with pytest.raises(openai.NotFoundError):
        provider.openai.files.retrieve(key)


def test_without_a_key_there_are_no_batches(provider: Provider) -> None:
    with pytest.raises(openai.AuthenticationError):
        provider.openai.batches.list(extra_headers={"Authorization": "none"})


def test_the_terms_are_drawn_as_they_are_stated(tmp_path: Path) -> None:
    path = tmp_path / "b.toml"
    path.write_text('seed = 1\nmedian = "10m"\nbeyond = "20h"\nshare = 0.01\n')
    terms = read_terms(path)
    drawn = sorted(terms.seconds(n) for n in range(20_000))
    assert drawn[10_000] == pytest.approx(600, rel=0.1)
    assert sum(seconds > 72_000 for seconds in drawn) == pytest.approx(200, rel=0.3)


@pytest.mark.parametrize(
    "text", ["median = 10", "beyond = '20h'", "requests = 0", "slow = 1", "share = 0.1"]
)
def test_terms_that_are_not_understood_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "b.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match="batches file"):
        read_terms(path)


_CALL = Call("openai", "m", ("a",), "a", None, wants_json=False, max_output=1)


@given(
    seconds=st.floats(0, 3 * WINDOW),
    looks=st.lists(st.floats(0, 2 * WINDOW), min_size=1, max_size=6).map(sorted),
    cancel=st.none() | st.floats(0, WINDOW),
    count=st.integers(1, 9),
)
def test_every_request_is_told_of_once_however_a_batch_ends(
    seconds: float, looks: list[float], cancel: float | None, count: int
) -> None:
    files, served = Files(), []

    def serve(one: Request) -> Line:
        served.append(one.custom_id)
        return Line(json.dumps({"custom_id": one.custom_id}), served=True)

    asked = [Request(str(n), _CALL) for n in range(count)]

    def unserved(one: Request, why: str) -> str:
        return json.dumps({"custom_id": one.custom_id, "why": why})

    batch = Batch("b", "f", {}, 0.0, seconds, Terms().cancelling, serve, unserved, requests=asked)
    for now in [*looks, 3 * WINDOW]:
        if cancel is not None and now >= cancel and batch.status not in {*OVER, "cancelling"}:
            batch.cancel(now)
        batch.advance(now, files)
    assert batch.status in OVER
    told = [
        json.loads(line)["custom_id"]
        for key in (batch.output_file, batch.error_file)
        for line in (files.get(key).content.decode().splitlines() if key else ())
    ]
    assert sorted(told) == sorted(one.custom_id for one in asked)
    assert len(served) == len(set(served)) == batch.completed
    assert batch.completed + batch.failed == count
