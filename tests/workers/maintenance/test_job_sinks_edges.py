"""What goes back into a table and what does not, whoever is killed on the way."""

import os
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from tests.fork_server import ForkServer
from tests.tasks.jobs.answered import answer
from tests.tasks.producer import Producer
from tests.waiting import until
from tests.workers.maintenance.sunk import (
    TICKETS,
    label,
    run,
    sink_of,
    submitted,
    tick,
    tickets,
)
from tierqueue.ledger.lifecycle import items
from tierqueue.ledger.operations import erasure, jobs
from tierqueue.ledger.results import sinks as ledger_sinks
from tierqueue.ledger.tables import sink_rows, sinks
from tierqueue.router.errors import InvalidItem
from tierqueue.tasks import IntoTable, Job


def test_rows_that_an_earlier_call_committed_go_back_too(
    producer: Producer, helpdesk: Engine, path: Path
) -> None:
    first = submitted(producer, path, None)
    with producer.ledger.write() as connection:
        connection.exec_driver_sql("UPDATE jobs SET complete = FALSE")
    assert submitted(producer, path) == first
    with producer.ledger.write() as connection:
        connection.exec_driver_sql("UPDATE jobs SET complete = FALSE")
    path.write_text(TICKETS + "4,w\n", encoding="utf-8")
    assert submitted(producer, path, None) == first
    answer(producer.ledger, label)
    tick(producer)
    assert [row[:2] for row in tickets(helpdesk)] == [(1, "x"), (2, "y"), (3, "z"), (4, "w")]


def test_who_waits_in_python_waits_for_the_table_too(
    producer: Producer, helpdesk: Engine, path: Path
) -> None:
    job = Job(submitted(producer, path))
    answer(producer.ledger, label)
    run(helpdesk, "ALTER TABLE tickets RENAME TO elsewhere")
    with pytest.raises(TimeoutError, match="3 of 3 rows have ended, and not all are written"):
        job.wait(timeout=0)
    tick(producer)
    with pytest.raises(InvalidItem, match=r"cannot be written into tickets \(no such table\)"):
        job.wait(timeout=60)
    run(helpdesk, "ALTER TABLE elsewhere RENAME TO tickets")
    tick(producer)
    assert job.wait(timeout=60).ended == len(tickets(helpdesk)) == 3


def test_what_cannot_go_back_is_refused_before_anything_is_paid(
    producer: Producer, helpdesk: Engine, path: Path
) -> None:
    path.write_text("id,text\n1,x\n2,y\n1,z\n", encoding="utf-8")
    with pytest.raises(InvalidItem, match="line 2 and line 4 of"):
        submitted(producer, path)
    for into, said in (
        (IntoTable("env:HELPDESK", "nowhere", "id"), "no table nowhere"),
        (IntoTable("env:HELPDESK", "tickets", "ids"), "did you mean"),
        (IntoTable("env:HELPDESK", "tickets", "text"), "there is no column"),
    ):
        with pytest.raises(InvalidItem, match=said):
            submitted(producer, path, into)
    with pytest.raises(InvalidItem, match="variable"):
        IntoTable("postgresql://me:secret@h/x", "t", "id")
    assert producer.all_items() == []


def test_a_row_without_a_key_is_malformed_and_the_others_go_back(
    producer: Producer, helpdesk: Engine, path: Path
) -> None:
    path.write_text("id,text\n1,x\n,y\n", encoding="utf-8")
    job_id = submitted(producer, path)
    answer(producer.ledger, label)
    tick(producer)
    assert tickets(helpdesk) == [(1, "x", None)]
    assert sink_of(producer, job_id).look_at is None
    assert {item.reason for item in producer.all_items()} == {None, "invalid"}


def test_erased_rows_leave_no_key_behind(producer: Producer, helpdesk: Engine, path: Path) -> None:
    job_id = submitted(producer, path)
    answer(producer.ledger, label)
    with producer.ledger.write() as connection:
        ids = [row.id for row in jobs.results(connection, job_id, -1, 2)]
        erasure.erase(connection, ids, "ada", "asked")
        assert items.get(connection, ids[0]).erased_at  # type: ignore[union-attr]
        assert [row.key for row in connection.execute(select(sink_rows))] == ["3"]


def test_the_address_stands_nowhere(producer: Producer, helpdesk: Engine, path: Path) -> None:
    submitted(producer, path)
    with producer.ledger.read() as connection:
        row = connection.execute(select(sinks)).mappings().one()
    assert row["place"] == "env:HELPDESK"
    assert os.environ["HELPDESK"] not in repr(dict(row))


ROWS = 3_000
WRITING = """
from tierqueue.tasks.app import app
from tierqueue.workers.maintenance.job_sinks import JobSinks
while True:
    JobSinks(app.installation.ledger).one()
"""


@pytest.mark.processes
def test_whoever_writes_is_killed_and_each_row_is_there_once(
    forks: ForkServer, producer: Producer, helpdesk: Engine, path: Path, ledger_url: str
) -> None:
    lines = "".join(f"{n},t{n}\n" for n in range(ROWS))
    path.write_text(f"id,text\n{lines}", encoding="utf-8")
    job_id = submitted(producer, path)
    answer(producer.ledger, label)
    written = 0
    for share in (1, 1_000, 2_000):
        writing = forks.start(
            ["python", "-c", WRITING],
            environ={**os.environ, "TIERQUEUE_LEDGER_URL": ledger_url},
            output=path.with_name("said"),
        )
        until(lambda share=share: len(tickets(helpdesk)) >= share)  # type: ignore[misc]
        writing.kill()
        writing.wait(60)
        with producer.ledger.write() as connection:
            ledger_sinks.note(connection, job_id, look_at=0)
        written = len(tickets(helpdesk))
    assert 2_000 <= written <= ROWS
    while tick(producer):
        pass
    assert tickets(helpdesk) == [(n, f"t{n}", None) for n in range(ROWS)]
    assert sink_of(producer, job_id).written == ROWS
