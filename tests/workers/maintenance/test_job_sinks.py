"""Rows of jobs go back into somebody's table as they end: each once, whatever fails on the way."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, select, update
from sqlalchemy.pool import NullPool

from tests.tasks.jobs.answered import REFUSED, answer
from tests.tasks.producer import CHECKOUT, Producer
from tests.waiting import until
from tierqueue.ledger.job_tables import sink_rows, sinks
from tierqueue.ledger.lifecycle import items
from tierqueue.ledger.operations import dead_letters, erasure, jobs
from tierqueue.ledger.results import sinks as ledger_sinks
from tierqueue.ledger.results.sinks import Sink
from tierqueue.operations import health
from tierqueue.router.errors import InvalidItem
from tierqueue.tasks import IntoTable, classify
from tierqueue.tasks.jobs.submission import Submission
from tierqueue.workers.maintenance.job_sinks import TRIES, JobSinks

INTO = IntoTable("env:HELPDESK", "tickets", "id")
TICKETS = "id,text\n1,x\n2,y\n3,z\n"


@pytest.fixture
def producer(producer_to: Callable[[str], Producer], ledger_url: str) -> Producer:
    return producer_to(ledger_url)


@pytest.fixture
def helpdesk(
    request: pytest.FixtureRequest,
    ledger_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Engine]:
    """Somebody's table, in a database of the ledger's own kind."""
    address = f"sqlite:///{tmp_path / 'helpdesk.db'}"
    if ledger_url.startswith("postgresql"):
        address = request.getfixturevalue("postgresql").empty_database()
        address = address.replace("postgresql://", "postgresql+psycopg://")
    engine = create_engine(address, poolclass=NullPool)
    _run(
        engine,
        "CREATE TABLE tickets (id INTEGER PRIMARY KEY, output_label TEXT, output_confidence"
        " INTEGER, error TEXT)",
    )
    monkeypatch.setenv("HELPDESK", address)
    yield engine
    engine.dispose()


def _run(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)


def _tickets(helpdesk: Engine) -> list[tuple[Any, ...]]:
    with helpdesk.connect() as connection:
        found = connection.exec_driver_sql("SELECT id, output_label, error FROM tickets ORDER BY 1")
        return [tuple(row) for row in found]


def _submit(producer: Producer, path: Path, into: IntoTable | None = INTO, **how: Any) -> str:
    return (
        Submission(classify, path, {"labels": ["a", "b"]}, column="text")
        .submit(
            producer.ledger, lambda: None, max_cost=None, progress=lambda *_: None, into=into, **how
        )
        .id
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "tickets.csv"
    path.write_text(TICKETS, encoding="utf-8")
    return path


def _look(producer: Producer) -> bool:
    """A look now, whenever the next one is due."""
    with producer.ledger.write() as connection:
        connection.execute(update(sinks).where(sinks.c.look_at.is_not(None)).values(look_at=0))
    return JobSinks(producer.app).one()


def _sink(producer: Producer, job_id: str) -> Sink:
    with producer.ledger.read() as connection:
        found = ledger_sinks.get(connection, job_id)
    assert found is not None
    return found


def _findings(producer: Producer) -> list[Any]:
    found = health.check(producer.app).findings
    return [finding for finding in found if finding.code == "sink_failing"]


def _label(said: Any) -> Any:
    return {"label": said["text"]}


def test_rows_are_written_as_they_end_and_then_nothing_is_left_to_do(
    producer: Producer, helpdesk: Engine, path: Path
) -> None:
    job_id = _submit(producer, path)
    assert _look(producer)
    assert _tickets(helpdesk) == []
    answer(producer.ledger, _label, before=2)
    _look(producer)
    assert _tickets(helpdesk) == [(1, "x", None), (2, "y", None)]
    answer(producer.ledger, lambda _: REFUSED)
    _look(producer)
    assert _tickets(helpdesk)[2] == (3, None, "rejected: no label fits")
    assert (_sink(producer, job_id).written, _sink(producer, job_id).look_at) == (3, None)
    assert not _look(producer)
    assert _findings(producer) == []


def test_what_is_replayed_is_written_again(
    producer: Producer, helpdesk: Engine, path: Path
) -> None:
    job_id = _submit(producer, path)
    answer(producer.ledger, lambda _: REFUSED)
    _look(producer)
    with producer.ledger.write() as connection:
        ids = [row["id"] for row in jobs.results(connection, job_id, -1, 2)]
        dead_letters.replay(connection, ids, "ada")
    assert _sink(producer, job_id).written == 1
    _look(producer)
    assert _tickets(helpdesk)[0] == (1, None, "rejected: no label fits")
    answer(producer.ledger, _label)
    _look(producer)
    assert _tickets(helpdesk)[:2] == [(1, "x", None), (2, "y", None)]
    assert (_sink(producer, job_id).written, _sink(producer, job_id).look_at) == (3, None)


def test_what_goes_on_while_it_is_written_is_not_taken_for_written(
    producer: Producer, helpdesk: Engine, path: Path
) -> None:
    job_id = _submit(producer, path)
    answer(producer.ledger, lambda _: REFUSED)
    with producer.ledger.write() as connection:
        until_then = 10**18
        ledger_sinks.note(connection, job_id, look_at=until_then)
        (first, *_) = ledger_sinks.left(connection, job_id, -1, 1, refused=False)
        dead_letters.replay(connection, [first["id"]], "ada")
        assert ledger_sinks.mark(connection, job_id, until_then, {0: first["turn"], 1: 0}, None)
        left = ledger_sinks.left(connection, job_id, -1, 9, refused=False)
    assert [row["number"] for row in left] == [0, 2]


def test_a_stage_that_lost_its_lease_has_its_rows_written_again(
    producer: Producer, helpdesk: Engine, path: Path
) -> None:
    job_id = _submit(producer, path)
    answer(producer.ledger, _label)
    _look(producer)
    with producer.ledger.write() as connection:
        assert not ledger_sinks.mark(connection, job_id, 5, {0: 0}, None)
        left = ledger_sinks.left(connection, job_id, -1, 9, refused=False)
    assert [row["number"] for row in left] == [0]


def test_a_table_that_is_away_is_tried_again_later_each_time_and_said(
    producer: Producer, helpdesk: Engine, path: Path
) -> None:
    job_id = _submit(producer, path)
    answer(producer.ledger, _label)
    _run(helpdesk, "ALTER TABLE tickets RENAME TO elsewhere")
    waits = []
    for _ in range(3):
        _look(producer)
        sink = _sink(producer, job_id)
        assert sink.look_at is not None
        assert sink.failed_at is not None
        waits.append((sink.look_at - sink.failed_at) // 1_000_000)
    assert waits == [30, 60, 120]
    assert (sink.tries, sink.error) == (3, "no such table")
    assert not JobSinks(producer.app).one(), "it is not due yet"
    [found] = _findings(producer)
    assert (found.wrong, found.detail["job"], found.detail["tries"]) == (True, job_id, 3)
    _run(helpdesk, "ALTER TABLE elsewhere RENAME TO tickets")
    _look(producer)
    assert [row[0] for row in _tickets(helpdesk)] == [1, 2, 3]
    assert (_sink(producer, job_id).error, _findings(producer)) == (None, [])


def test_a_row_that_the_table_refuses_holds_back_no_other_and_is_tried_again(
    producer: Producer, helpdesk: Engine, path: Path
) -> None:
    job_id = _submit(producer, path)
    secret = "what the model said"
    answer(
        producer.ledger,
        lambda said: {"label": "a", "confidence": secret if said["text"] == "y" else 1},
    )
    _look(producer)
    assert [row[0] for row in _tickets(helpdesk)] == [1, 3]
    sink = _sink(producer, job_id)
    assert (sink.written, sink.tries) == (2, 1)
    assert sink.error == "output_confidence is no int"
    assert secret not in repr((sink, _findings(producer)))
    _run(helpdesk, "ALTER TABLE tickets RENAME COLUMN output_confidence TO other")
    _look(producer)
    assert [row[0] for row in _tickets(helpdesk)] == [1, 2, 3]
    sink = _sink(producer, job_id)
    assert (sink.written, sink.error, sink.look_at) == (3, None, None)


def test_what_fails_for_days_is_given_up_and_the_same_command_tries_again(
    producer: Producer, helpdesk: Engine, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = _submit(producer, path)
    answer(producer.ledger, _label)
    address = os.environ["HELPDESK"]
    monkeypatch.delenv("HELPDESK")
    with producer.ledger.write() as connection:
        ledger_sinks.note(connection, job_id, tries=TRIES - 1)
    _look(producer)
    sink = _sink(producer, job_id)
    assert (sink.look_at, sink.tries, sink.error) == (None, TRIES, "the address is not there")
    assert "given up" in _findings(producer)[0].what
    monkeypatch.setenv("HELPDESK", address)
    again = _submit(producer, path)
    _look(producer)
    assert [row[0] for row in _tickets(helpdesk)] == [1, 2, 3]
    assert _sink(producer, again).written == 3
    with producer.ledger.read() as connection:
        assert ledger_sinks.get(connection, job_id) is None, "the newer job of the run writes"


def test_rows_that_an_earlier_call_committed_go_back_too(
    producer: Producer, helpdesk: Engine, path: Path
) -> None:
    first = _submit(producer, path, None)
    with producer.ledger.write() as connection:
        connection.exec_driver_sql("UPDATE jobs SET complete = FALSE")
    assert _submit(producer, path) == first
    with producer.ledger.write() as connection:
        connection.exec_driver_sql("UPDATE jobs SET complete = FALSE")
    path.write_text(TICKETS + "4,w\n", encoding="utf-8")
    assert _submit(producer, path, None) == first
    answer(producer.ledger, _label)
    _look(producer)
    assert [row[:2] for row in _tickets(helpdesk)] == [(1, "x"), (2, "y"), (3, "z"), (4, "w")]


def test_what_cannot_go_back_is_refused_before_anything_is_paid(
    producer: Producer, helpdesk: Engine, path: Path
) -> None:
    path.write_text("id,text\n1,x\n2,y\n1,z\n", encoding="utf-8")
    with pytest.raises(InvalidItem, match="line 2 and line 4 of"):
        _submit(producer, path)
    for into, said in (
        (IntoTable("env:HELPDESK", "nowhere", "id"), "no table nowhere"),
        (IntoTable("env:HELPDESK", "tickets", "ids"), "did you mean"),
        (IntoTable("env:HELPDESK", "tickets", "text"), "there is no column"),
    ):
        with pytest.raises(InvalidItem, match=said):
            _submit(producer, path, into)
    with pytest.raises(InvalidItem, match="variable"):
        IntoTable("postgresql://me:secret@h/x", "t", "id")
    assert producer.all_items() == []


def test_a_row_without_a_key_is_malformed_and_the_others_go_back(
    producer: Producer, helpdesk: Engine, path: Path
) -> None:
    path.write_text("id,text\n1,x\n,y\n", encoding="utf-8")
    job_id = _submit(producer, path)
    answer(producer.ledger, _label)
    _look(producer)
    assert _tickets(helpdesk) == [(1, "x", None)]
    assert _sink(producer, job_id).look_at is None
    assert {item.reason for item in producer.all_items()} == {None, "invalid"}


def test_erased_rows_leave_no_key_behind(producer: Producer, helpdesk: Engine, path: Path) -> None:
    job_id = _submit(producer, path)
    answer(producer.ledger, _label)
    with producer.ledger.write() as connection:
        ids = [row["id"] for row in jobs.results(connection, job_id, -1, 2)]
        erasure.erase(connection, ids, "ada", "asked")
        assert items.get(connection, ids[0])["erased_at"]  # type: ignore[index]
        assert [row.key for row in connection.execute(select(sink_rows))] == ["3"]


def test_the_address_stands_nowhere(producer: Producer, helpdesk: Engine, path: Path) -> None:
    _submit(producer, path)
    with producer.ledger.read() as connection:
        row = connection.execute(select(sinks)).mappings().one()
    assert row["place"] == "env:HELPDESK"
    assert os.environ["HELPDESK"] not in repr(dict(row))


ROWS = 3_000
WRITING = """
from tierqueue.tasks.app import app
from tierqueue.workers.maintenance.job_sinks import JobSinks
while True:
    JobSinks(app).one()
"""


@pytest.mark.processes
def test_whoever_writes_is_killed_and_each_row_is_there_once(
    producer: Producer, helpdesk: Engine, path: Path, ledger_url: str
) -> None:
    lines = "".join(f"{n},t{n}\n" for n in range(ROWS))
    path.write_text(f"id,text\n{lines}", encoding="utf-8")
    job_id = _submit(producer, path)
    answer(producer.ledger, _label)
    written = 0
    for share in (1, 1_000, 2_000):
        writing = subprocess.Popen(
            [sys.executable, "-c", WRITING],
            env={**os.environ, "TIERQUEUE_LEDGER_URL": ledger_url},
            cwd=CHECKOUT,
        )
        until(lambda share=share: len(_tickets(helpdesk)) >= share)  # type: ignore[misc]
        writing.send_signal(signal.SIGKILL)
        writing.wait(60)
        with producer.ledger.write() as connection:
            ledger_sinks.note(connection, job_id, look_at=0)
        written = len(_tickets(helpdesk))
    assert 2_000 <= written <= ROWS
    while _look(producer):
        pass
    assert _tickets(helpdesk) == [(n, f"t{n}", None) for n in range(ROWS)]
    assert _sink(producer, job_id).written == ROWS
