"""Samples: every length and every value is in them, identical rows count once, and they repeat."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from tests.operations.cli.command import ONE_DEPLOYMENT
from tests.tasks.jobs.answered import answer
from tierqueue.ledger.in_force import stated_limits
from tierqueue.ledger.job_records import JobRecord
from tierqueue.ledger.operations import jobs
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import attempts, items
from tierqueue.router.errors import InvalidItem
from tierqueue.router.policy.policy import parse_policy
from tierqueue.tasks import classify
from tierqueue.tasks.files.source import Reading, SourceRow
from tierqueue.tasks.jobs.resume import resume
from tierqueue.tasks.jobs.sample_report import report
from tierqueue.tasks.jobs.sampling import Layer, draw
from tierqueue.tasks.jobs.submission import Submission, SubmittedJob

LABELS = ["billing", "login"]


def _rows(texts: list[str], **columns: str) -> Iterator[SourceRow]:
    for number, text in enumerate(texts):
        yield SourceRow(number, {"text": text, **columns}, f"line {number + 2}")


def test_every_length_is_drawn_by_its_share_and_the_same_file_gives_the_same_rows() -> None:
    texts = [f"{n:05}" for n in range(900)] + [f"{n:0200}" for n in range(100)]
    layers = draw(_rows(texts), 50, only="text", by=None)
    assert [layer.name for layer in layers] == ["up to 7 characters", "up to 255 characters"]
    assert [(layer.rows, layer.unsure) for layer in layers] == [(900.0, 0.0), (100.0, 0.0)]
    assert [len(layer.numbers) for layer in layers] == [45, 5]
    assert layers == draw(_rows(texts), 50, only="text", by=None)
    assert [Layer.read(layer.to_json()) for layer in layers] == list(layers)


def test_identical_rows_count_once_and_malformed_ones_never() -> None:
    rows = [*_rows(["same"] * 500), SourceRow(500, {}, "line 502", "no fields")]
    (layer,) = draw(rows, 10, only="text", by=None)
    assert (layer.rows, layer.numbers) == (1.0, (0,))


def test_of_very_many_different_rows_their_number_is_estimated() -> None:
    (layer,) = draw(_rows([f"{n:06}" for n in range(20_000)]), 50, only="text", by=None)
    assert 0 < layer.unsure < 0.04
    assert abs(layer.rows - 20_000) < 20_000 * 4 * layer.unsure
    assert len(layer.numbers) == 50


def test_every_value_of_a_column_is_drawn_and_rare_kinds_are_one_layer() -> None:
    rows = [
        SourceRow(n, {"text": f"t{n:04}", "country": "AT" if n % 10 else "CH"}, "")
        for n in range(1_000)
    ]
    layers = draw(rows, 20, only="text", by="country")
    assert {layer.name.split(",")[0]: len(layer.numbers) for layer in layers} == {
        "country AT": 18,
        "country CH": 2,
    }
    rows = [SourceRow(n, {"text": "x" * n, "c": str(n)}, "") for n in range(1, 2_000)]
    assert len(draw(rows, 40, only="text", by="c")) <= 10


@pytest.fixture
def tickets(tmp_path: Path) -> Path:
    path = tmp_path / "tickets.csv"
    path.write_text("text,note\n" + "".join(f"t{n:03},n\n" for n in range(200)), "utf-8")
    return path


def _submit(ledger: Ledger, made: Submission, **how: Any) -> SubmittedJob:
    return made.submit(ledger, lambda: None, max_cost=None, progress=lambda *_: None, **how)


def _job(ledger: Ledger, job_id: str) -> tuple[JobRecord, jobs.JobProgress]:
    with ledger.read() as connection:
        job = jobs.get(connection, job_id)
        assert job is not None
        return job, jobs.progress(connection, job_id)


def test_a_sample_is_a_job_that_goes_on_without_paying_its_rows_again(
    ledger: Ledger, tickets: Path
) -> None:
    made = Submission(classify, tickets, {"labels": LABELS}, column="text")
    layers = made.draw(20, None)
    sampled = _submit(ledger, made, sample=layers)
    assert (sampled.new, sampled.total) == (20, 200)
    row, progress = _job(ledger, sampled.id)
    assert (progress.sampled, progress.stopped, progress.over) == (True, False, False)
    assert _submit(ledger, made, sample=layers).new == 0
    answer(ledger, lambda said: {"label": "billing"})
    assert _job(ledger, sampled.id)[1].over
    again, how = resume(_job(ledger, sampled.id)[0], classify)
    done = _submit(ledger, again, **how)
    assert (done.id, done.resumed, done.new) == (sampled.id, True, 180)
    row, progress = _job(ledger, sampled.id)
    assert (row.complete, row.sample, progress.sampled) == (True, None, False)
    with pytest.raises(InvalidItem, match="has no rows to come"):
        resume(row, classify)


def test_the_same_command_without_a_sample_goes_on_too_and_a_cancelled_one_does_not(
    ledger: Ledger, tickets: Path
) -> None:
    made = Submission(classify, tickets, {"labels": LABELS}, column="text")
    sampled = _submit(ledger, made, sample=made.draw(10, "note"))
    done = _submit(ledger, made)
    assert (done.id, done.new) == (sampled.id, 190)
    other = Submission(classify, tickets, {"labels": ["a", "b"]}, column="text")
    sampled = _submit(ledger, other, sample=other.draw(10, None))
    with ledger.write() as connection:
        jobs.cancel(connection, sampled.id, "somebody")
    assert _job(ledger, sampled.id)[0].sample is None


def test_a_prompt_that_changed_since_the_sample_is_asked_anew(
    ledger: Ledger, tickets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Submission(classify, tickets, {"labels": LABELS}, column="text")
    sampled = _submit(ledger, made, sample=made.draw(10, None))
    monkeypatch.setattr(type(classify), "prompt_version", "99")
    with pytest.raises(InvalidItem, match="asks another prompt than there is now"):
        resume(_job(ledger, sampled.id)[0], classify)


def test_a_column_that_is_not_there_is_refused(tickets: Path) -> None:
    made = Submission(classify, tickets, {"labels": LABELS}, column="text")
    with pytest.raises(InvalidItem, match="no such column; did you mean 'note'"):
        made.draw(10, "notes")


def test_a_sample_of_a_query_goes_on_as_it_was_begun(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "helpdesk.db"
    with closing(sqlite3.connect(there)) as connection, connection:
        connection.execute("CREATE TABLE tickets (text TEXT)")
        connection.executemany("INSERT INTO tickets VALUES (?)", [(f"t{n}",) for n in range(9)])
    monkeypatch.setenv("HELPDESK", f"sqlite:///{there}")
    reading = Reading(query="SELECT text FROM tickets ORDER BY text")
    source, fixed = Path("env:HELPDESK"), {"labels": LABELS}
    made = Submission(classify, source, fixed, column="text", reading=reading)
    sampled = _submit(ledger, made, sample=made.draw(3, None))
    monkeypatch.chdir(tmp_path)  # a database is in no folder
    again, how = resume(_job(ledger, sampled.id)[0], classify)
    assert _submit(ledger, again, **how).id == sampled.id
    assert _job(ledger, sampled.id)[1].submitted == 9


def _called(ledger: Ledger, deployment: str) -> None:
    """A call of a second for each item."""
    with ledger.write() as connection:
        for item in connection.execute(select(items.c.id, items.c.submitted_at)).all():
            call: dict[str, Any] = {
                "item_id": item.id,
                "fence": 1,
                "tier": "frontier",
                "deployment": deployment,
                "worker": "w",
                "metered": True,
                "balances": [],
                "held": 0,
                "started_at": item.submitted_at,
                "ended_at": item.submitted_at,
                "outcome": "accepted",
                "cost": 10,
                "usage": {"input_tokens": 20, "output_tokens": 5},
                "seconds": 1.0,
                "simulated": False,
            }
            connection.execute(insert(attempts), call)


def test_the_time_that_a_sample_tells_is_within_the_limits_of_the_budget_that_pays(
    ledger: Ledger, tickets: Path
) -> None:
    made = Submission(classify, tickets, {"labels": LABELS, "budget": "acme"}, column="text")
    layers = made.draw(20, None)
    sampled = _submit(ledger, made, sample=layers)
    answer(ledger, lambda said: {"label": "billing"})
    _called(ledger, "best")
    with ledger.write() as connection:
        connection.execute(items.update().values(budget="acme", receipt={"seconds": 1.0}))
    policy = parse_policy(f"{ONE_DEPLOYMENT}[tiers.frontier]\nconcurrency = 200\n", "policy")

    def seconds() -> float:
        told = report(ledger, sampled.id, layers, policy, {}, {"cash": 0, "engines": 0, "hours": 0})
        assert told.seconds is not None, told.untimed
        return told.seconds.value

    assert seconds() == pytest.approx(1.0)
    for limit, most, takes in (
        ("output_tokens_per_minute", 1_000, 60.0),
        ("requests_per_minute", 100, 120.0),
    ):
        with ledger.write() as connection:
            stated_limits.set_limits(connection, "budget:acme", {limit: most}, "ana")
        assert seconds() == pytest.approx(takes)
