"""A schedule's times come: each becomes one item, whichever of many routing stages is first."""

from typing import Any

from tierqueue.ledger.lifecycle.items import NewItem, new_id
from tierqueue.ledger.operations import schedules
from tierqueue.ledger.operations.schedules import SKIP, Schedule
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.router.errors import InvalidItem
from tierqueue.router.policy.duration import MINUTE_US
from tierqueue.tasks.schedules.timing import Timing
from tierqueue.tasks.submission.item_task import ItemTask

LATE_US = MINUTE_US
"""Microseconds after which a time that nobody was there for is missed."""

_AT_ONCE = 100
"""Most schedules that are run in one round, those that are due longest."""


def timing_of(schedule: Schedule) -> Timing:
    """When a schedule is due."""
    return Timing(schedule.cron, schedule.every, schedule.timezone, schedule.added_at)


def task_of(schedule: Schedule) -> ItemTask[..., Any]:
    """A schedule's task type; raises ``InvalidItem`` where it is not here."""
    task: ItemTask[..., Any] | None = ItemTask.declared.get(schedule.task)
    if task is None:
        raise InvalidItem(
            f"the routing stage knows no task type {schedule.task}: is its module in"
            " TIERQUEUE_IMPORTS there?"
        )
    return task


def new_item(schedule: Schedule) -> NewItem:
    """The item of one run; raises ``InvalidItem`` where the task type refuses it or is not here."""
    task = task_of(schedule)
    try:
        return task.new_item((), dict(schedule.call), item_id=new_id())
    except InvalidItem:
        raise
    except Exception as error:  # noqa: BLE001  # the task type's own code: it would fail again
        raise InvalidItem(f"its prompt raised {type(error).__name__}") from None


def run_due(ledger: Ledger) -> int:
    """Run what is due, each time once over all processes; returns how many items that made.

    Of times that were missed the last is made up for, or none, as the schedule says.
    """
    with ledger.read() as connection:
        now = database_now(connection)
        waiting = [
            schedule
            for name in schedules.due(connection, now, _AT_ONCE)
            if (schedule := schedules.get(connection, name)) is not None
        ]
    return sum(_run(ledger, schedule) for schedule in waiting)


def _run(ledger: Ledger, seen: Schedule) -> bool:
    made, error = None, None
    try:
        # Before the transaction: a team's own code may take its time.
        made = None if seen.source else new_item(seen)
    except InvalidItem as refused:
        error = refused.message
    with ledger.write() as connection:
        now = database_now(connection)
        taken = schedules.take(connection, seen.name, now)
        if taken is None or (taken.task, taken.call) != (seen.task, seen.call):
            return False
        when = timing_of(taken)
        due = when.last(taken.next_due, now)
        schedules.advance(connection, taken.name, when.next(now))
        left_out = taken.missed == SKIP and now - due > LATE_US
        if left_out:
            made, error = None, None
        job = taken.source is not None and not left_out
        ran = schedules.run(connection, taken.name, due, made, error=error, job=job)
        return ran and made is not None
