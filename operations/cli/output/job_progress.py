"""Waiting for a job: a progress bar for people, lines for logs, JSON for scripts."""

import threading
import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from tierqueue.ledger.operations import jobs
from tierqueue.ledger.session import Ledger, Transaction
from tierqueue.operations.cli.output.printing import emit
from tierqueue.router.errors import InvalidItem
from tierqueue.router.money import format_usd

_LOOK = 0.25
"""Seconds between two looks at the ledger."""

_SAY = 2.0
"""Seconds between two lines, where nothing can be drawn."""

Said = Callable[[jobs.Progress], None]


def watch(
    ledger: Ledger,
    job_id: str,
    *,
    console: Console,
    as_json: bool = False,
    patience: float | None = None,
) -> jobs.Progress:
    """Tell how a job gets on until every row has ended; returns the last state.

    ``patience``: seconds without any progress after which waiting ends all the same. Raises
    ``InvalidItem`` for a job that is not there.
    """
    if as_json:
        return _follow(
            ledger, job_id, _every(_SAY, lambda now: emit(as_dict(job_id, now))), patience
        )
    if not console.is_terminal:
        return _follow(
            ledger,
            job_id,
            _every(
                _SAY,
                lambda now: console.print(
                    line(job_id, now), markup=False, highlight=False, soft_wrap=True
                ),
            ),
            patience,
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

        def draw(now: jobs.Progress) -> None:
            bar.update(task, completed=now.ended, total=now.total, said=_ends(now))

        return _follow(ledger, job_id, draw, patience)


def progress(connection: Transaction, job_id: str) -> jobs.Progress:
    """Where a job is; raises ``InvalidItem`` for one that is not there."""
    try:
        return jobs.progress(connection, job_id)
    except KeyError:
        raise InvalidItem(f"there is no job {job_id}") from None


def as_dict(job_id: str, now: jobs.Progress) -> dict[str, object]:
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
    }


def line(job_id: str, now: jobs.Progress) -> str:
    """A job's state for people."""
    return f"job {job_id}: {now.ended} of {now.total} rows ended ({_ends(now)})"


def _ends(now: jobs.Progress) -> str:
    states = ", ".join(f"{count} {state}" for state, count in sorted(now.states.items()))
    money = [f"{format_usd(now.spent)} spent"]
    if now.booked:
        money.append(f"{format_usd(now.booked)} booked for bills that are not known")
    if now.held:
        money.append(f"{format_usd(now.held)} held")
    if now.submitted < now.total:
        states = f"{states or 'none'}, {now.total - now.submitted} not submitted"
    if now.reused:
        states = f"{states}, {now.reused} reused"
    return f"{states}; {', '.join(money)}"


def _every(seconds: float, say: Said) -> Said:
    """``say``, at most once in so many seconds, and always for the end."""
    last = 0.0

    def sometimes(now: jobs.Progress) -> None:
        nonlocal last
        if now.over or time.monotonic() - last >= seconds:
            last = time.monotonic()
            say(now)

    return sometimes


def _follow(ledger: Ledger, job_id: str, say: Said, patience: float | None) -> jobs.Progress:
    pause = threading.Event()
    moved = time.monotonic()
    before: jobs.Progress | None = None
    while True:
        with ledger.read() as connection:
            now = progress(connection, job_id)
        if now != before:
            before, moved = now, time.monotonic()
        say(now)
        if now.over or (patience is not None and time.monotonic() - moved > patience):
            return now
        pause.wait(_LOOK)
