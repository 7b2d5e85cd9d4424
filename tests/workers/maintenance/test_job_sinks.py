"""Rows of jobs go back into somebody's table as they end: each once, whatever fails on the way."""

import os
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.tasks.jobs.answered import REFUSED, answer
from tests.tasks.producer import Producer
from tests.workers.maintenance.sunk import failing, label, run, sink_of, submitted, tick, tickets
from tierqueue.ledger.operations import dead_letters, jobs
from tierqueue.ledger.results import sinks as ledger_sinks
from tierqueue.workers.maintenance.job_sinks import JobSinks
from tierqueue.workers.maintenance.retrying import TRIES


def test_rows_are_written_as_they_end_and_then_nothing_is_left_to_do(
    producer: Producer, helpdesk: Engine, path: Path
) -> None:
    job_id = submitted(producer, path)
    assert tick(producer)
    assert tickets(helpdesk) == []
    answer(producer.ledger, label, before=2)
    tick(producer)
    assert tickets(helpdesk) == [(1, "x", None), (2, "y", None)]
    answer(producer.ledger, lambda _: REFUSED)
    tick(producer)
    assert tickets(helpdesk)[2] == (3, None, "rejected: no label fits")
    assert (sink_of(producer, job_id).written, sink_of(producer, job_id).look_at) == (3, None)
    assert not tick(producer)
    assert failing(producer) == []


def test_what_is_replayed_is_written_again(
    producer: Producer, helpdesk: Engine, path: Path
) -> None:
    job_id = submitted(producer, path)
    answer(producer.ledger, lambda _: REFUSED)
    tick(producer)
    with producer.ledger.write() as connection:
        ids = [row.id for row in jobs.results(connection, job_id, -1, 2)]
        dead_letters.replay(connection, ids, "ada")
    assert sink_of(producer, job_id).written == 1
    tick(producer)
    assert tickets(helpdesk)[0] == (1, None, "rejected: no label fits")
    answer(producer.ledger, label)
    tick(producer)
    assert tickets(helpdesk)[:2] == [(1, "x", None), (2, "y", None)]
    assert (sink_of(producer, job_id).written, sink_of(producer, job_id).look_at) == (3, None)


def test_what_goes_on_while_it_is_written_is_not_taken_for_written(
    producer: Producer, helpdesk: Engine, path: Path
) -> None:
    job_id = submitted(producer, path)
    answer(producer.ledger, lambda _: REFUSED)
    with producer.ledger.write() as connection:
        until_then = 10**18
        ledger_sinks.note(connection, job_id, look_at=until_then)
        (first, *_) = ledger_sinks.left(connection, job_id, -1, 1, refused=False)
        dead_letters.replay(connection, [first.answer.id], "ada")
        assert ledger_sinks.mark(connection, job_id, until_then, {0: first.turn, 1: 0}, None)
        left = ledger_sinks.left(connection, job_id, -1, 9, refused=False)
    assert [row.answer.number for row in left] == [0, 2]


def test_a_stage_that_lost_its_lease_has_its_rows_written_again(
    producer: Producer, helpdesk: Engine, path: Path
) -> None:
    job_id = submitted(producer, path)
    answer(producer.ledger, label)
    tick(producer)
    with producer.ledger.write() as connection:
        assert not ledger_sinks.mark(connection, job_id, 5, {0: 0}, None)
        left = ledger_sinks.left(connection, job_id, -1, 9, refused=False)
    assert [row.answer.number for row in left] == [0]


def test_a_table_that_is_away_is_tried_again_later_each_time_and_said(
    producer: Producer, helpdesk: Engine, path: Path
) -> None:
    job_id = submitted(producer, path)
    answer(producer.ledger, label)
    run(helpdesk, "ALTER TABLE tickets RENAME TO elsewhere")
    waits = []
    for _ in range(3):
        tick(producer)
        sink = sink_of(producer, job_id)
        assert sink.look_at is not None
        assert sink.failed_at is not None
        waits.append((sink.look_at - sink.failed_at) // 1_000_000)
    assert waits == [30, 60, 120]
    assert (sink.tries, sink.error) == (3, "no such table")
    assert not JobSinks(producer.ledger).one(), "it is not due yet"
    [found] = failing(producer)
    assert (found.wrong, found.detail["job"], found.detail["tries"]) == (True, job_id, 3)
    run(helpdesk, "ALTER TABLE elsewhere RENAME TO tickets")
    tick(producer)
    assert [row[0] for row in tickets(helpdesk)] == [1, 2, 3]
    assert (sink_of(producer, job_id).error, failing(producer)) == (None, [])


def test_a_row_that_the_table_refuses_holds_back_no_other_and_is_tried_again(
    producer: Producer, helpdesk: Engine, path: Path
) -> None:
    job_id = submitted(producer, path)
    secret = "what the model said"
    answer(
        producer.ledger,
        lambda said: {"label": "a", "confidence": secret if said["text"] == "y" else 1},
    )
    tick(producer)
    assert [row[0] for row in tickets(helpdesk)] == [1, 3]
    sink = sink_of(producer, job_id)
    assert (sink.written, sink.tries) == (2, 1)
    assert sink.error == "output_confidence is no int"
    assert secret not in repr((sink, failing(producer)))
    run(helpdesk, "ALTER TABLE tickets RENAME COLUMN output_confidence TO other")
    tick(producer)
    assert [row[0] for row in tickets(helpdesk)] == [1, 2, 3]
    sink = sink_of(producer, job_id)
    assert (sink.written, sink.error, sink.look_at) == (3, None, None)


def test_what_fails_for_days_is_given_up_and_the_same_command_tries_again(
    producer: Producer, helpdesk: Engine, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = submitted(producer, path)
    answer(producer.ledger, label)
    address = os.environ["HELPDESK"]
    monkeypatch.delenv("HELPDESK")
    with producer.ledger.write() as connection:
        ledger_sinks.note(connection, job_id, tries=TRIES - 1)
    tick(producer)
    sink = sink_of(producer, job_id)
    assert (sink.look_at, sink.tries, sink.error) == (
        None,
        TRIES,
        "the routing stage has no HELPDESK",
    )
    assert "given up" in failing(producer)[0].what
    monkeypatch.setenv("HELPDESK", address)
    again = submitted(producer, path)
    tick(producer)
    assert [row[0] for row in tickets(helpdesk)] == [1, 2, 3]
    assert sink_of(producer, again).written == 3
    with producer.ledger.read() as connection:
        assert ledger_sinks.get(connection, job_id) is None, "the newer job of the run writes"
