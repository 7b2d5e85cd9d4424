"""Watches the ledger from outside: samples its states, and times how soon killed claims recover."""

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.chaos.hook import note
from bench.checker.run import Row, connect

TICK_SECONDS = 0.1
"""Seconds between two checks, and so the precision of a recovery."""

SAMPLE = 0.5
"""Seconds between two samples of the states."""

GIVEN_UP = 60.0
"""Seconds after which a claim counts as never recovered."""


@dataclass(frozen=True, slots=True)
class Claim:
    """An item that a process held when it was killed at ``at`` (epoch seconds)."""

    item: str
    fence: int
    at: float


class Watch:
    """One thread over one ledger; what it finds goes to ``faults.jsonl`` and ``samples.jsonl``."""

    def __init__(self, ledger_url: str, folder: Path, attended: Callable[[], bool]) -> None:
        self._ask = connect(ledger_url)
        self._url = ledger_url
        self._attended = attended
        self._alone_since: float | None = None
        self._away_since: float | None = None
        self._folder = folder
        self._lock = threading.Lock()
        self._pending: list[Claim] = []
        self._outages: list[tuple[float, float]] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking; whatever is still pending is written down as not recovered."""
        self._stopping.set()
        self._thread.join(10)
        for claim in self._pending:
            note(self._folder / "faults.jsonl", {"kind": "not_recovered", "item": claim.item})

    def outage(self, began: float) -> None:
        """Remember that there was no database, or no routing stage, from ``began`` until now."""
        self._outages.append((began, time.time()))

    @contextmanager
    def database_away(self) -> Iterator[None]:
        """Whatever is recovered inside counts as recovered after an outage."""
        began = time.time()
        self._away_since = began
        try:
            yield
        finally:
            self.outage(began)
            self._away_since = None

    def fault(self, kind: str, **more: Any) -> None:
        """Write down what was done to the system, and when."""
        note(self._folder / "faults.jsonl", {"kind": kind, "at": time.time(), **more})

    def ask(self, query: str) -> list[Row]:
        """One query; empty while the database is away."""
        try:
            return connect(self._url)(query)
        except Exception:  # noqa: BLE001 - it was stopped on purpose
            return []

    def holders(self) -> dict[int, int]:
        """How many claims each process holds, by pid."""
        rows = self.ask(
            "SELECT worker, count(*) AS n FROM attempts WHERE ended_at IS NULL GROUP BY worker"
        )
        return {int(row["worker"].rpartition(":")[2]): row["n"] for row in rows}

    def killed(self, pid: int, at: float) -> int:
        """A process was killed at ``at``; returns how many claims it held, which are now timed."""
        rows = self.ask(
            f"SELECT item_id, fence FROM attempts WHERE ended_at IS NULL AND worker LIKE '%:{pid}'"
        )
        with self._lock:
            self._pending += [Claim(row["item_id"], row["fence"], at) for row in rows]
        return len(rows)

    def locked(self) -> bool:
        """Whether somebody who says nothing any more holds locks that others wait for."""
        if not self._url.startswith("sqlite:///"):
            rows = self.ask(
                "SELECT count(*) AS n FROM pg_stat_activity AS silent, pg_stat_activity AS waiting"
                " WHERE silent.state = 'idle in transaction'"
                " AND clock_timestamp() - silent.state_change > interval '300 ms'"
                " AND silent.pid = ANY(pg_blocking_pids(waiting.pid))"
            )
            return bool(rows) and rows[0]["n"] > 0
        # Where nobody can take a turn and nothing is written for a second, its holder is stopped.
        path = self._url.removeprefix("sqlite:///")
        turns = os.open(f"{path}-turns", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            before = _written(path)
            until = time.monotonic() + 1.0
            while time.monotonic() < until:
                if _written(path) != before or _free(turns):
                    return False
                time.sleep(0.02)
            return True
        finally:
            os.close(turns)

    def open_items(self) -> int | None:
        """Items that have not ended, and promises of ended items that are not kept."""
        rows = self.ask(
            "SELECT (SELECT count(*) FROM items WHERE ended_at IS NULL)"
            " + (SELECT count(*) FROM promises WHERE kept_at IS NULL) AS n"
        )
        return rows[0]["n"] if rows else None

    def _run(self) -> None:
        sampled = 0.0
        while not self._stopping.wait(TICK_SECONDS):
            self._check_routing()
            self._recoveries()
            if time.monotonic() - sampled >= SAMPLE:
                sampled = time.monotonic()
                self._sample()

    def _check_routing(self) -> None:
        if self._attended():
            if self._alone_since is not None:
                self.outage(self._alone_since)
            self._alone_since = None
        elif self._alone_since is None:
            self._alone_since = time.time()

    def _recoveries(self) -> None:
        with self._lock:
            pending = list(self._pending)
        if not pending:
            return
        ids = ", ".join(f"'{claim.item}'" for claim in pending)
        rows = self.ask(f"SELECT id, state, reason, fence, ready_at FROM items WHERE id IN ({ids})")
        found = {row["id"]: row for row in rows}
        now = time.time()
        done = [claim for claim in pending if ready(claim, found.get(claim.item), now)]
        for claim in done:
            seconds = round(now - claim.at, 3)
            # Nobody can take anything over while the ledger or all routing stages are away: counted
            # apart.
            open_now = self._alone_since is not None or self._away_since is not None
            away = open_now or any(
                began < now and claim.at < ended for began, ended in self._outages
            )
            kind = "recovered_after_outage" if away else "recovered"
            self.fault(kind, item=claim.item, seconds=seconds)
        with self._lock:
            self._pending = [claim for claim in self._pending if claim not in set(done)]

    def _sample(self) -> None:
        # One statement sees one state of the ledger.
        rows = self.ask(
            "SELECT state, count(*) AS n, (SELECT count(*) FROM items) AS total FROM items"
            " GROUP BY state"
        )
        if rows:
            states = {row["state"]: row["n"] for row in rows}
            line = {"at": time.time(), "states": states, "total": rows[0]["total"]}
            note(self._folder / "samples.jsonl", line)


def _written(path: str) -> int:
    """When something was last written to a SQLite file, in its log or in itself."""
    log = Path(f"{path}-wal")
    return log.stat().st_mtime_ns if log.exists() else Path(path).stat().st_mtime_ns


def _free(turns: int) -> bool:
    try:
        fcntl.flock(turns, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(turns, fcntl.LOCK_UN)
    return True


def ready(claim: Claim, row: Row | None, now: float) -> bool:
    """Whether the item may be worked on again at ``now`` (epoch seconds), or has ended.

    One that waits for anything but its lost claim was ready before: between two checks it was taken
    out again, and met a provider that is away or a full ceiling.
    """
    if row is None:
        return False
    if row["fence"] > claim.fence:
        return True
    backing_off = row["reason"] == "lost_claim" and row["ready_at"] > now * 1e6
    return row["state"] != "running" and not (row["state"] == "waiting" and backing_off)
