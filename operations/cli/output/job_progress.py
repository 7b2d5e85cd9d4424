"""Waiting for a job: a progress bar for people, lines for logs, JSON for scripts."""

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from tierqueue.ledger.operations import jobs
from tierqueue.ledger.results import sinks
from tierqueue.ledger.session import Ledger
from tierqueue.operations.cli.output.printing import dollars, emit
from tierqueue.operations.cli.output.simulated import AMONG
from tierqueue.router.errors import InvalidItem
from tierqueue.router.money import format_usd
from tierqueue.tasks.durations import duration
from tierqueue.tasks.jobs.outlook import Outlook, outlook_of

_TICK_SECONDS = 0.25
"""Seconds between two checks of the ledger: one costs the same however many rows there are."""

_SAY_SECONDS = 2.0
"""Seconds between two lines, where nothing can be drawn."""

paused = time.sleep
"""Waits between two checks."""

Said = Callable[[jobs.JobProgress, Outlook], None]


def follow(
    ledger: Ledger,
    job_id: str,
    *,
    console: Console,
    as_json: bool = False,
    patience_seconds: float | None = None,
) -> jobs.JobProgress:
    """Tell how a job gets on until every row has ended; returns the last state.

    ``patience_seconds``: how long it may get on with nothing before waiting ends all the same.
    Raises ``InvalidItem`` for a job that is not there.
    """
    if as_json:
        return _follow(
            ledger,
            job_id,
            _every(
                _SAY_SECONDS,
                lambda now, then: emit(
                    {**as_dict(job_id, now), **as_told(then), **sink_dict(ledger, job_id)}
                ),
            ),
            patience_seconds,
        )
    if not console.is_terminal:
        return _follow(
            ledger,
            job_id,
            _every(
                _SAY_SECONDS,
                lambda now, then: console.print(
                    "; ".join([line(job_id, now) + ahead(now, then), *_sink(ledger, job_id)]),
                    markup=False,
                    highlight=False,
                    soft_wrap=True,
                ),
            ),
            patience_seconds,
        )
    with Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[said]}"),
        console=console,
    ) as bar:
        task = bar.add_task(f"job {job_id[:13]}", total=None, said="")

        def draw(now: jobs.JobProgress, then: Outlook) -> None:
            said = _ends(now) + ahead(now, then)
            bar.update(task, completed=now.ended, total=now.total, said=said)

        return _follow(ledger, job_id, draw, patience_seconds)


def as_dict(job_id: str, now: jobs.JobProgress) -> dict[str, object]:
    """A job's state for scripts."""
    return {
        "job": job_id,
        "total": now.total,
        "submitted": now.submitted,
        "reused": now.reused,
        "complete": now.complete,
        "incomplete": now.stopped,
        "ended": now.ended,
        "states": dict(now.states),
        "dead_letters": dict(now.dead),
        "cancelled": now.cancelled,
        "cost_nanousd": now.spent + now.booked,
        "spent_nanousd": now.spent,
        "booked_nanousd": now.booked,
        "held_nanousd": now.held,
        "max_cost_nanousd": now.max_cost,
        "simulated": now.simulated,
    }


def as_told(then: Outlook) -> dict[str, object]:
    """What is ahead of a job, for scripts."""
    expected = then.expected
    return {
        "expected_nanousd": None if expected is None else round(expected.value),
        "low_nanousd": None if expected is None else round(expected.low),
        "high_nanousd": None if expected is None else round(expected.high),
        "rows_per_second": then.rate,
        "seconds_left": then.seconds,
        "tiers": {
            name: {
                "ended": tier.ended,
                "left": tier.left,
                "cost_nanousd": tier.cost,
                "rows_per_second": tier.rate,
                "seconds_left": tier.seconds,
            }
            for name, tier in then.tiers.items()
        },
    }


def ahead(now: jobs.JobProgress, then: Outlook) -> str:
    """What is ahead of a job, for people; nothing once it is over."""
    if now.over:
        return ""
    said = []
    if then.expected is not None:
        low, high = dollars(then.expected.low), dollars(then.expected.high)
        mark = AMONG if now.simulated else ""
        said.append(f"{dollars(then.expected.value)}{mark} expected in the end, {low} to {high}")
    if then.rate:
        said.append(f"{then.rate:.3g} rows/s")
    slowest = {
        f"{name} {duration(tier.seconds)}"
        for name, tier in then.tiers.items()
        if tier.left and tier.seconds
    }
    if then.seconds:
        by_tier = f" ({', '.join(sorted(slowest))})" if len(slowest) > 1 else ""
        said.append(f"{duration(then.seconds)} left{by_tier}")
    return "".join(f"; {part}" for part in said)


def line(job_id: str, now: jobs.JobProgress) -> str:
    """A job's state for people."""
    return f"job {job_id}: {now.ended} of {now.total} rows ended ({_ends(now)})"


def sink_dict(ledger: Ledger, job_id: str) -> dict[str, object]:
    """Where a job's rows go back, for scripts: `sink`, null where they do not."""
    with ledger.read() as connection:
        sink = sinks.get(connection, job_id)
        refused, _ = sinks.refusal(connection, job_id)
    if sink is None:
        return {"sink": None}
    return {
        "sink": {
            "place": sink.place,
            "table": sink.table_name,
            "key": sink.key,
            "written": sink.written,
            "refused": refused,
            "done": sink.look_at is None and sink.error is None,
            "tries": sink.tries,
            "error": sink.error,
        }
    }


def sink_line(ledger: Ledger, job_id: str, now: jobs.JobProgress) -> list[str]:
    """Where a job's rows go back, for people: a line, or none; what is ahead of it too."""
    words = _sink(ledger, job_id)
    with ledger.read() as connection:
        sink = sinks.get(connection, job_id)
    if sink is not None and now.over and sink.look_at is not None and sink.error is None:
        words[0] += "; a routing stage writes the others"
    return words


def follow_sink(
    ledger: Ledger, job_id: str, last: jobs.JobProgress, *, console: Console, as_json: bool
) -> bool:
    """Tell how the rows of a job that is over get back into their table until all are written or
    that fails, which is tried again; returns whether none is left to write.
    """
    said: list[str] | None = None
    while True:
        with ledger.read() as connection:
            sink = sinks.get(connection, job_id)
        # Of a job that is not whole the table is not done either, and nobody waits for it here.
        if sink is None or not (last.complete or last.cancelled):
            return True
        if sink.look_at is None or sink.error is not None:
            return sink.error is None
        told = _sink(ledger, job_id)
        if told != said and as_json:
            emit({**as_dict(job_id, last), **sink_dict(ledger, job_id)})
        elif told != said:
            words = f"job {job_id}: {'; '.join(told)}; a routing stage writes the others"
            console.print(words, markup=False, highlight=False, soft_wrap=True)
        said = told
        paused(_TICK_SECONDS)


def _sink(ledger: Ledger, job_id: str) -> list[str]:
    told: Any = sink_dict(ledger, job_id)["sink"]
    if told is None:
        return []
    said = f"{told['written']} rows written into {told['table']} ({told['place']})"
    if told["refused"]:
        said += f", {told['refused']} refused"
    if told["error"] is not None:
        said += f", failing: {told['error']}"
    return [said]


def _ends(now: jobs.JobProgress) -> str:
    states = ", ".join(f"{count} {state}" for state, count in sorted(now.states.items()))
    most = "" if now.max_cost is None else f" of at most {format_usd(now.max_cost)}"
    money = [f"{format_usd(now.spent)}{AMONG if now.simulated else ''} spent{most}"]
    if now.booked:
        money.append(f"{format_usd(now.booked)} booked for bills that are not known")
    if now.held:
        money.append(f"{format_usd(now.held)} held")
    if now.submitted < now.total:
        states = f"{states or 'none'}, {now.total - now.submitted} not submitted"
    if now.reused:
        states = f"{states}, {now.reused} of them reused"
    return f"{states}; {', '.join(money)}"


def _every(seconds: float, say: Said) -> Said:
    """``say``, at most once in so many seconds, and always for the end."""
    last = 0.0

    def sometimes(now: jobs.JobProgress, then: Outlook) -> None:
        nonlocal last
        if now.over or time.monotonic() - last >= seconds:
            last = time.monotonic()
            say(now, then)

    return sometimes


def _follow(
    ledger: Ledger, job_id: str, say: Said, patience_seconds: float | None
) -> jobs.JobProgress:
    moved = time.monotonic()
    before: jobs.JobProgress | None = None
    while True:
        try:
            now, then = outlook_of(ledger, job_id)
        except KeyError:
            raise InvalidItem(f"there is no job {job_id}") from None
        if now != before:
            before, moved = now, time.monotonic()
        say(now, then)
        if now.over or (
            patience_seconds is not None and time.monotonic() - moved > patience_seconds
        ):
            return now
        paused(_TICK_SECONDS)
