"""Schedules that nobody runs, and those whose last run failed."""

from collections.abc import Iterator

from tierqueue.router.policy.duration import MINUTE_US, SECOND_US
from tierqueue.tasks.findings.finding import Facts, Finding

_OVERDUE_US = 2 * MINUTE_US
"""Microseconds after which a time that has come was to have been run."""


def findings(facts: Facts) -> Iterator[Finding]:
    """What is wrong with schedules that do not rest."""
    for schedule, run in facts.schedules:
        if schedule.paused_at is not None:
            continue
        if schedule.next_due < facts.now - _OVERDUE_US:
            seconds = (facts.now - schedule.next_due) / SECOND_US
            yield Finding(
                code="schedule_overdue",
                wrong=True,
                what=f"schedule {schedule.name} was due {seconds:,.0f} s ago, and nobody ran it",
                meanwhile="a time that was missed is made up for once"
                if schedule.missed == "once"
                else "a time that was missed is left out",
                do="does a routing stage of this release run?",
                detail={"schedule": schedule.name, "overdue_seconds": seconds},
            )
        if run is None:
            continue
        failed = run.error or (run.reason if run.state == "dead" else None)
        if failed is not None:
            item = f" (item {run.item_id})" if run.item_id else ""
            yield Finding(
                code="schedule_failed",
                wrong=True,
                what=f"the last run of schedule {schedule.name} failed{item}: {failed}",
                meanwhile="it is run again when it is next due",
                do=f"tierqueue schedule show {schedule.name}; mend it, and try it with tierqueue"
                f" schedule run {schedule.name}",
                detail={"schedule": schedule.name, "item": run.item_id, "reason": failed},
            )
