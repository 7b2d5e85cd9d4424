"""Schedules that are due: one item each time, whoever looks and whoever is killed on the way."""

import multiprocessing
import os
import time
from typing import Any

import pytest
from sqlalchemy import select, text

from tierqueue.ledger import audit_log
from tierqueue.ledger.operations import schedules
from tierqueue.ledger.operations.schedules import Schedule
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import items, schedule_runs
from tierqueue.tasks import complete
from tierqueue.tasks.schedules import firing

SECOND = 1_000_000
MINUTE = 60 * SECOND


@pytest.fixture
def now(ledger: Ledger) -> int:
    with ledger.read() as connection:
        return database_now(connection)


def _add(ledger: Ledger, due: int, **stated: Any) -> None:
    filled: dict[str, Any] = {
        "name": "beat",
        "task": complete.name,
        "call": {"prompt": "Are you there?", "risk": "internal"},
        "cron": None,
        "every": MINUTE,
        "timezone": "UTC",
        "missed": "once",
        "next_due": due,
        "added_at": due - MINUTE,
        "added_by": "ada",
    }
    with ledger.write() as connection:
        assert schedules.add(connection, Schedule(**{**filled, **stated}))


def _made(ledger: Ledger) -> list[str]:
    with ledger.read() as connection:
        return list(connection.execute(select(items.c.id)).scalars())


def _runs(ledger: Ledger) -> list[schedules.Run]:
    with ledger.read() as connection:
        return schedules.runs(connection, "beat", 10)


def test_a_schedule_that_is_due_becomes_one_item_and_is_due_again(ledger: Ledger, now: int) -> None:
    _add(ledger, now)
    assert firing.run_due(ledger) == 1
    assert firing.run_due(ledger) == 0
    [run] = _runs(ledger)
    assert ([run.item_id], run.due, run.state) == (_made(ledger), now, "submitted")
    with ledger.read() as connection:
        [schedule] = schedules.listed(connection)
    assert schedule.next_due == now + MINUTE


def test_one_that_is_not_due_or_rests_makes_none(ledger: Ledger, now: int) -> None:
    _add(ledger, now + 30 * MINUTE, name="later")
    _add(ledger, now)
    with ledger.write() as connection:
        assert schedules.pause(connection, "beat", "ada")
        assert not schedules.pause(connection, "beat", "ada")
    assert firing.run_due(ledger) == 0
    with ledger.write() as connection:
        assert schedules.resume(connection, "beat", now, "ada")
        assert not schedules.resume(connection, "beat", now, "ada")
    assert firing.run_due(ledger) == 1


def test_times_that_were_missed_are_made_up_for_once(ledger: Ledger, now: int) -> None:
    _add(ledger, now - 100 * MINUTE - 90 * SECOND)
    assert firing.run_due(ledger) == 1
    [run] = _runs(ledger)
    assert now - 2 * MINUTE < run.due <= now
    assert firing.run_due(ledger) == 0


def test_or_left_out_where_the_schedule_says_so(ledger: Ledger, now: int) -> None:
    day = 1_440 * MINUTE
    _add(ledger, now - 10 * MINUTE, missed="skip", every=day)
    assert firing.run_due(ledger) == 0
    [run] = _runs(ledger)
    assert (run.item_id, run.error) == (None, None)
    _add(ledger, now - 10 * SECOND, missed="skip", name="on-time", every=day)
    assert firing.run_due(ledger) == 1


def test_a_run_that_cannot_be_made_says_why_and_the_next_is_tried(ledger: Ledger, now: int) -> None:
    _add(ledger, now, task="team.gone")
    assert firing.run_due(ledger) == 0
    [run] = _runs(ledger)
    assert run.error is not None
    assert "knows no task type team.gone" in run.error


def test_what_an_operator_does_is_in_the_audit_log(ledger: Ledger, now: int) -> None:
    _add(ledger, now + MINUTE)
    with ledger.write() as connection:
        schedules.run(connection, "beat", now, None, by="ada")
        assert not schedules.run(connection, "beat", now, None, by="ada")
        assert schedules.remove(connection, "beat", "ada")
        assert not schedules.remove(connection, "beat", "ada")
        done = [row.what for row in audit_log.newest(connection, 10)]
        assert connection.execute(select(schedule_runs)).all() == []
    assert done == ["remove schedule", "run schedule", "add schedule"]


def _race(url: str) -> int:
    """A routing stage's rounds for a while."""
    ledger = Ledger(url)
    until = time.monotonic() + 2.0
    made = 0
    while time.monotonic() < until:
        made += firing.run_due(ledger)
        with ledger.write() as connection:
            # Due again at once, at the next second.
            connection.execute(text("UPDATE schedules SET next_due = next_due - every + 1000000"))
    ledger.close()
    return made


def _run_and_be_killed(url: str) -> None:
    run = schedules.run

    def killed(*given: Any, **named: Any) -> bool:
        run(*given, **named)
        os._exit(9)

    schedules.run = killed
    firing.run_due(Ledger(url))


@pytest.mark.processes
def test_of_many_stages_one_runs_each_time_that_is_due(ledger_url: str, ledger: Ledger) -> None:
    with ledger.read() as connection:
        begun = database_now(connection)
    _add(ledger, begun)
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        made = sum(pool.map(_race, [ledger_url] * 3))
    with ledger.read() as connection:
        due = list(connection.execute(select(schedule_runs.c.due)).scalars())
    assert len(due) == len(set(due)) == made == len(_made(ledger)) > 0


@pytest.mark.processes
def test_a_stage_that_is_killed_while_it_runs_one_has_not_run_it(
    ledger_url: str, ledger: Ledger, now: int
) -> None:
    _add(ledger, now)
    process = multiprocessing.get_context("spawn").Process(
        target=_run_and_be_killed, args=(ledger_url,)
    )
    process.start()
    process.join(60)
    assert process.exitcode == 9
    assert (_made(ledger), _runs(ledger)) == ([], [])
    assert firing.run_due(ledger) == 1
    assert len(_made(ledger)) == len(_runs(ledger)) == 1
