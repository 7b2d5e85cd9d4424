"""What the lines of a batch come to: each request in one bucket, whatever the files hold."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.batch_lane.test_batch_redaction import BODY, read_with
from tierqueue.ledger.lifecycle.items import new_id
from tierqueue.router.outcome import Accepted, Failed, Interrupted, Outcome, Throttled, Unknown
from tierqueue.workers.batch_lane import results
from tierqueue.workers.batch_lane.requests import former_key_of, key_of
from tierqueue.workers.engines.batches import BatchOutput, RemoteBatch, ResultLine

KEYS = [(f"item{n}", n + 1) for n in range(6)]
OVER = RemoteBatch(id="b", state="completed", over=True)

_LINES = st.builds(
    ResultLine,
    key=st.sampled_from([*(key_of(*key) for key in KEYS), "item0-9", "another's"]),
    status=st.sampled_from([0, 200, 400, 429, 500]),
    code=st.none() | st.sampled_from(["batch_expired", "batch_cancelled", "server_error"]),
)


@given(st.lists(_LINES, max_size=14), st.booleans())
def test_the_buckets_add_up_to_the_size_whatever_is_in_the_files(
    lines: list[ResultLine], refused: bool
) -> None:
    remote = RemoteBatch(id="b", state="x", over=True, refused=("bad",) if refused else ())
    counts = results.counted(KEYS, results.by_key(BatchOutput(lines, 0, simulated=True)), remote)
    assert tuple(counts) == results.BUCKETS
    assert sum(counts.values()) == len(KEYS)
    assert not (refused and counts["missing"])


def test_of_two_lines_for_one_request_the_first_with_an_answer_holds() -> None:
    first, second = (
        ResultLine(key="a-1", status=200),
        ResultLine(key="a-1", status=200, body={"n": 2}),
    )
    failed = ResultLine(key="a-1", status=500)
    for given_lines in ([first, second], [first, failed], [failed, first, second]):
        assert results.by_key(BatchOutput(given_lines, 0, simulated=False)) == {"a-1": first}
    assert results.by_key(BatchOutput([failed], 0, simulated=False)) == {"a-1": failed}


def test_what_was_not_served_is_believed_where_figures_and_files_add_up() -> None:
    ended = RemoteBatch(id="b", state="x", over=True, answered=2, unserved="batch_expired")
    lines = [ResultLine(key=key_of(*key), status=200) for key in KEYS[:2]]
    whole = BatchOutput(lines, 0, simulated=True)
    told = results.believed(ended, whole, results.by_key(whole), KEYS)
    assert isinstance(results._without_line("d", told), Interrupted)
    assert results.counted(KEYS, results.by_key(whole), told)["expired"] == 4
    another = [lines[0], ResultLine(key="another's", status=200)]
    for found, broken in ((lines[:1], 0), (lines, 1), (another, 0)):
        output = BatchOutput(found, broken, simulated=True)
        doubted = results.believed(ended, output, results.by_key(output), KEYS)
        assert isinstance(results._without_line("d", doubted), Unknown)
        assert results.counted(KEYS, results.by_key(output), doubted)["expired"] == 0


def test_lines_of_requests_that_are_not_of_the_batch_are_counted() -> None:
    lines = {"another's": ResultLine(key="another's", status=200)}
    lines |= {key_of(*key): ResultLine(key=key_of(*key), status=200) for key in KEYS}
    assert results.foreign(KEYS, lines) == 1


def test_a_request_without_a_line_may_have_been_billed_unless_the_file_was_refused() -> None:
    full = RemoteBatch(id="", state="failed", over=True, refused=("token_limit_exceeded",))
    bad = RemoteBatch(id="", state="failed", over=True, refused=("invalid_json_line",))
    assert isinstance(results._without_line("d", OVER), Unknown)
    assert isinstance(results._without_line("d", full), Throttled)
    assert isinstance(results._without_line("d", bad), Interrupted)


@pytest.mark.parametrize("more", ["\ud83d", math.nan], ids=["half a character", "no figure"])
def test_an_answer_with_what_json_cannot_hold_is_read(more: Any) -> None:
    assert isinstance(read_with("", {**BODY, "more": more}), Accepted)


def test_an_answer_that_is_nested_too_deep_holds_up_no_other() -> None:
    more: list[Any] = []
    for _ in range(9_000):
        more = [more]
    assert isinstance(read_with("", {**BODY, "more": more}), Unknown)


def test_what_the_provider_did_not_serve_goes_live_unless_we_cancelled_it() -> None:
    outcomes: list[tuple[str, Outcome]] = [
        ("expired", Interrupted(kind="batch_expired")),
        ("cancelled", Interrupted(kind="batch_cancelled")),
        ("refused", Interrupted(kind="batch_refused")),
        ("failed", Failed(kind="server_error", message="", transient=True)),
    ]
    assert results.to_go_live(outcomes) == ["expired", "refused"]


def test_an_id_that_its_producer_chose_does_not_leave_in_a_line() -> None:
    ours = new_id()
    assert key_of(ours, 2) == f"{ours}-2"
    for chosen in ("4915112345678", "jane-doe", "jane@example.org", "ä" * 300):
        assert chosen not in key_of(chosen, 2)
        assert len(key_of(chosen, 2)) <= 64


def test_a_line_of_a_batch_that_an_older_release_sent_finds_its_claim() -> None:
    former = ResultLine(key=former_key_of("ticket-7", 3), status=200)
    assert former.key == "ticket-7-3"
    assert results.line_of({former.key: former}, "ticket-7", 3) is former
    now = ResultLine(key=key_of("ticket-7", 3), status=200)
    assert results.line_of({now.key: now}, "ticket-7", 3) is now
    assert results.line_of({now.key: now}, "ticket-8", 3) is None
