"""Jobs that are due: one job each time, whoever looks and whoever is killed on the way."""

import multiprocessing
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from tierqueue.ledger.operations import schedules
from tierqueue.ledger.operations.schedules import Schedule
from tierqueue.ledger.results import sinks
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import items, schedule_runs
from tierqueue.ledger.tables import jobs as job_table
from tierqueue.tasks import complete
from tierqueue.tasks.schedules import firing, jobs

MINUTE = 60_000_000


def _file(folder: Path, rows: int) -> Path:
    path = folder / "tickets.csv"
    path.write_text("text\n" + "".join(f"ticket {n}\n" for n in range(rows)), encoding="utf-8")
    return path


def _add(ledger: Ledger, path: Path, **stated: Any) -> None:
    """A schedule over a file that is due now."""
    source = {"path": str(path), "column": "text", "max_cost": 1_000_000}
    reading = dict.fromkeys(("encoding", "separator", "sheet", "by", "query"))
    with ledger.write() as connection:
        now = database_now(connection)
        filled: dict[str, Any] = {
            "name": "night",
            "task": complete.name,
            "call": {"risk": "internal"},
            "cron": None,
            "every": MINUTE,
            "timezone": "UTC",
            "missed": "once",
            "next_due": now,
            "added_at": now - MINUTE,
            "added_by": "ada",
            "source": {**source, **reading},
        }
        assert schedules.add(connection, Schedule(**{**filled, **stated}))


def _due_again(ledger: Ledger) -> None:
    with ledger.write() as connection:
        connection.execute(update(schedule_runs).values(lease_until=0))


def _jobs(ledger: Ledger) -> list[Any]:
    with ledger.read() as connection:
        return list(connection.execute(select(job_table)).mappings())


def _items(ledger: Ledger) -> int:
    with ledger.read() as connection:
        return len(connection.execute(select(items.c.id)).all())


def _submit(ledger: Ledger) -> bool:
    return jobs.submit_one(ledger, lambda: None)


def test_a_run_is_a_job_under_its_own_ceiling(ledger: Ledger, tmp_path: Path) -> None:
    _add(ledger, _file(tmp_path, 3))
    assert firing.run_due(ledger) == 0
    assert _submit(ledger)
    assert not _submit(ledger)
    [job] = _jobs(ledger)
    assert (job["complete"], job["total"], job["max_cost"]) == (True, 3, 1_000_000)
    with ledger.read() as connection:
        [run] = schedules.runs(connection, "night", 5)
    assert (run.job_id, run.lease_until, run.error) == (job["id"], None, None)


def test_the_next_one_asks_only_what_is_new(ledger: Ledger, tmp_path: Path) -> None:
    _add(ledger, _file(tmp_path, 3))
    firing.run_due(ledger)
    _submit(ledger)
    _file(tmp_path, 5)
    with ledger.write() as connection:
        schedules.run(connection, "night", database_now(connection), None, by="ada", job=True)
    assert _submit(ledger)
    assert (len(_jobs(ledger)), _items(ledger)) == (2, 5)


def test_what_was_submitted_whole_before_a_kill_is_not_submitted_again(
    ledger: Ledger, tmp_path: Path
) -> None:
    _add(ledger, _file(tmp_path, 3))
    firing.run_due(ledger)
    _submit(ledger)
    _due_again(ledger)
    assert _submit(ledger)
    assert len(_jobs(ledger)) == 1


def test_a_file_that_is_gone_is_said_of_the_run(ledger: Ledger, tmp_path: Path) -> None:
    path = _file(tmp_path, 3)
    _add(ledger, path)
    path.unlink()
    firing.run_due(ledger)
    assert _submit(ledger)
    with ledger.read() as connection:
        [run] = schedules.runs(connection, "night", 5)
    assert run.error is not None
    assert "tickets.csv" in run.error


def _submit_and_be_killed(url: str, after: int) -> None:
    """Killed at that wake: so many batches of rows are committed by then."""
    wakes = 0

    def wake() -> None:
        nonlocal wakes
        wakes += 1
        if wakes == after:
            os._exit(9)

    jobs.submit_one(Ledger(url), wake)


@pytest.mark.processes
def test_after_a_kill_another_goes_on_in_the_same_job(
    ledger_url: str, ledger: Ledger, tmp_path: Path
) -> None:
    _add(ledger, _file(tmp_path, 1_200))
    firing.run_due(ledger)
    process = multiprocessing.get_context("spawn").Process(
        target=_submit_and_be_killed, args=(ledger_url, 1)
    )
    process.start()
    process.join(60)
    assert process.exitcode == 9
    assert 0 < _items(ledger) < 1_200
    assert not _submit(ledger), "whoever was killed has the lease still"
    _due_again(ledger)
    assert _submit(ledger)
    [job] = _jobs(ledger)
    assert (job["complete"], _items(ledger)) == (True, 1_200)


def test_a_lease_goes_on_once_the_ledger_answers_again(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _add(ledger, _file(tmp_path, 1))
    firing.run_due(ledger)
    with ledger.write() as connection:
        owed = schedules.take_job(connection, database_now(connection), jobs.LEASE_US)
    assert owed is not None
    renewed, note, calls = threading.Event(), schedules.note_run, []

    def noted(*given: Any, **values: Any) -> None:
        calls.append(values)
        if len(calls) == 1:
            raise OperationalError("update", {}, Exception("database is locked"))
        note(*given, **values)
        renewed.set()

    monkeypatch.setattr(jobs, "_RENEW_SECONDS", 0.01)
    monkeypatch.setattr(schedules, "note_run", noted)
    with jobs._leased(ledger, owed):
        assert renewed.wait(30)
    assert len(calls) > 1


def test_the_rows_of_each_job_go_back_into_the_table_that_was_stated(
    ledger: Ledger, tmp_path: Path
) -> None:
    path = tmp_path / "tickets.csv"
    path.write_text("id,text\n1,one\n2,two\n", encoding="utf-8")
    into = {"place": "env:HELPDESK", "table": "tickets", "key": "id", "prefix": "ai_"}
    reading = dict.fromkeys(("encoding", "separator", "sheet", "by", "query"))
    source = {"path": str(path), "column": "text", "max_cost": None, "into": into, **reading}
    _add(ledger, path, source=source)
    firing.run_due(ledger)
    assert _submit(ledger)
    [job] = _jobs(ledger)
    with ledger.read() as connection:
        sink = sinks.get(connection, job["id"])
        left = sinks.left(connection, job["id"], -1, 10, refused=True)
    assert sink is not None
    assert (sink.place, sink.table_name, sink.key, sink.prefix) == tuple(into.values())
    assert [row.key for row in left] == ["1", "2"]
