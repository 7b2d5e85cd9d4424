"""One job from ``tierqueue job submit`` to the last item's committed end, and proof that it was
the whole lifecycle: every row, entry and receipt is counted.
"""

import subprocess
import time
from dataclasses import dataclass

from sqlalchemy import func, select

from bench.texts import tickets
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import attempts, entries, items
from tools.keeper import bound_to_parent
from tools.system import ROOT, System

PATIENCE_SECONDS = 600.0
"""Seconds a job may take."""

TICK_SECONDS = 0.1
"""Seconds between two checks whether the job has ended."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What one job took: ``seconds`` from the command's start to the last committed end."""

    items: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Items a second."""
        return self.items / self.seconds


def run_job(system: System, count: int) -> Backlog:
    """Submit a file of ``count`` tickets and wait until all have ended.

    Raises ``AssertionError`` unless every item succeeded and left each of its rows.
    """
    path = system.folder / f"tickets{count}.csv"
    tickets.write(path, count)
    ledger = Ledger(system.ledger_url)
    try:
        before = _books(ledger)
        started = time.time()
        command = bound_to_parent(
            subprocess.Popen(
                [
                    *("tierqueue", "job", "submit", str(path), "--anew"),
                    *("--task", "tierqueue.classify", "--column", "text"),
                    *("--set", f"labels={','.join(tickets.LABELS)}"),
                ],
                cwd=ROOT,
                env=system.environ,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        until_ended(ledger, command, started)
        after = _books(ledger)
        with ledger.read() as connection:
            ended = connection.execute(select(func.max(items.c.ended_at))).scalar_one()
    finally:
        ledger.close()
    # An item: its row, one attempt, a hold and a settle in the one ceiling that covers it.
    assert after - before == _Books(count, count, count, 2 * count), (before, after)
    return Backlog(count, ended / 1e6 - started)


@dataclass(frozen=True, slots=True)
class _Books:
    succeeded: int
    receipts: int
    attempts: int
    entries: int

    def __sub__(self, other: "_Books") -> "_Books":
        return _Books(
            self.succeeded - other.succeeded,
            self.receipts - other.receipts,
            self.attempts - other.attempts,
            self.entries - other.entries,
        )


def _books(ledger: Ledger) -> _Books:
    succeeded = items.c.state == "succeeded"
    settled = attempts.c.outcome == "accepted"
    with ledger.read() as connection:
        return _Books(
            connection.execute(select(func.count()).where(succeeded)).scalar_one(),
            connection.execute(
                select(func.count()).where(succeeded, items.c.receipt.is_not(None))
            ).scalar_one(),
            connection.execute(select(func.count()).where(settled)).scalar_one(),
            connection.execute(select(func.count()).select_from(entries)).scalar_one(),
        )


def until_ended(
    ledger: Ledger,
    command: "subprocess.Popen[str]",
    started: float,
    patience_seconds: float = PATIENCE_SECONDS,
) -> None:
    """Until ``job submit`` has ended and no item is open.

    Raises ``TimeoutError`` where that has not come ``patience_seconds`` seconds after ``started``.
    """
    is_open = select(items.c.id).where(items.c.ended_at.is_(None)).limit(1)
    while True:
        status = command.poll()
        if status:
            assert command.stderr is not None
            raise RuntimeError(f"job submit failed:\n{command.stderr.read()[-2000:]}")
        if status is not None:
            with ledger.read() as connection:
                if connection.execute(is_open).first() is None:
                    return
        if time.time() - started > patience_seconds:
            command.kill()
            raise TimeoutError(f"the job has not ended in {patience_seconds:.0f} s")
        time.sleep(TICK_SECONDS)
