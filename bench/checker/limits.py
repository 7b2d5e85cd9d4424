"""I5 and I6: a deployment's requests in any minute, and its calls at the same time."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bench.checker.run import Row, Run, Violations


class Forgotten(NamedTuple):
    """The broker knew of no call in flight from ``since`` to ``until`` (epoch seconds).

    ``sent_by``: what it had granted before has left the worker by then.
    """

    since: float
    until: float
    sent_by: float


def limits_kept(run: Run, found: Violations, lease_seconds: float) -> None:
    """Every deployment's limits, by the provider's own log; ``lease`` in seconds."""
    forgotten = [
        Forgotten(since, line["at"] + lease_seconds, since + lease_seconds * 2 / 3)
        for line in run.faults
        if line["kind"] in ("flushall", "broker_back")
        for since in [line.get("since") or line["at"]]
    ]
    for deployment in run.deployments.values():
        limits = deployment.get("limits", {})
        calls = [call for call in run.calls if call.get("model") == deployment["model"]]
        starts = sorted(call["started"] for call in calls)
        per_minute = limits.get("requests_per_minute")
        if per_minute is not None:
            for first, last in zip(starts, starts[per_minute:], strict=False):
                if last - first < 60:
                    found.add("I5", deployment["model"], f"{per_minute} a minute passed at {last}")
        most = limits.get("in_flight")
        if most is not None:
            for at, count in _overlaps(calls):
                if count > most and not _excused(run, calls, at, most, forgotten):
                    found.add("I6", deployment["model"], f"{count} calls at once at {at}")


def _excused(
    run: Run, calls: Sequence[Row], at: float, most: int, forgotten: Sequence[Forgotten]
) -> bool:
    """Whether as many calls ``at`` once are within what is promised where the broker forgot them.

    Nothing is granted until a lease later, or until the ledger knows of no claim. So what comes on
    top is what had been granted and was not claimed when the broker forgot it, and only if no call
    was claimed then; and what a worker still had open that died, froze or was cut off.
    """
    at_once = [call for call in calls if call["started"] <= at < call["ended"]]
    for since, until, sent_by in forgotten:
        if not since <= at <= until:
            continue
        before = [call for call in at_once if call["started"] < since]
        unknown = [call for call in before if _given_up(run, call)]
        on_top = len(unknown)
        if len(before) == len(unknown):
            granted = [call for call in at_once if since <= call["started"] <= sent_by]
            on_top += min(len(granted), most)
        if len(at_once) <= most + on_top:
            return True
    return False


def _given_up(run: Run, call: Row) -> bool:
    """Whether the call's worker was lost, or its reply."""
    return any(
        int(attempt["fence"]) == int(call["fence"]) and attempt["outcome"] in ("lost", "unknown")
        for attempt in run.attempts[call["item"]]
    )


def _overlaps(calls: Sequence[Row]) -> Iterator[tuple[float, int]]:
    moves = [(call["started"], 1) for call in calls] + [(call["ended"], -1) for call in calls]
    count = 0
    for at, change in sorted(moves):
        count += change
        if change > 0:
            yield at, count
