"""The bench of fairness: single calls, small tenants, a paused budget beside one large backlog."""

import argparse
import json
import math
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import ColumnElement, func, select

from bench.stage.noted_engine import CALLS
from bench.stage.system import DATABASES, ON_DISK, databases, our_system, run, say
from bench.texts import tickets
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import items
from tools.system import ROOT, System

LARGE = "large"
"""The budget of the one tenant with a backlog."""

TENANTS = 50
"""How many small tenants there are beside it."""

PATIENCE_SECONDS = 900.0
"""Seconds until the bench gives up on anything it waits for."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Items: ``backlog`` of the one tenant, ``job`` of each that is timed, ``each`` of a small
    tenant while all have work; ``singles`` calls for which somebody waits, ``pause`` seconds apart.
    """

    backlog: int
    job: int
    each: int
    singles: int
    pause: float


FULL = Plan(backlog=100_000, job=7_000, each=200, singles=300, pause=0.05)
QUICK = Plan(backlog=40_000, job=2_000, each=40, singles=40, pause=0.03)

TIMED = 3
"""Jobs that are timed without the backlog, and beside it: the fastest of them is told, since what
else keeps the machine busy only ever takes time, and never takes it from both alike."""

FEW = 10
"""Items that each small tenant sends into the backlog, all at once."""


def main() -> None:
    """Print one JSON line: the worse of the two databases' figures, and each one's own."""
    parser = argparse.ArgumentParser(prog="python -m bench.fairness", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"a backlog of {QUICK.backlog} rows")
    parser.add_argument("--only", choices=DATABASES, help="one of the two databases")
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else FULL
    kinds = DATABASES if arguments.only is None else (arguments.only,)
    measured: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="tierqueue-bench-", dir=ON_DISK) as name:
        folder = Path(name)
        with databases(folder) as stores:
            for kind in kinds:
                calls = folder / f"{kind}.calls"
                with our_system(folder / kind, stores.url(kind), {CALLS: str(calls)}) as system:
                    measured[kind] = Scene(system, calls, plan).play()
                say(f"{kind:10} {measured[kind]}")
    print(json.dumps({**_worse(measured), **measured}))


def _worse(measured: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    figures = next(iter(measured.values()))
    return {
        name: (max if name.endswith("_s") else min)(told[name] for told in measured.values())
        for name in figures
    }


class Scene:
    """What happens on one database, in turn, on one system."""

    def __init__(self, system: System, calls: Path, plan: Plan) -> None:
        self._system = system
        self._calls = calls
        self._plan = plan
        self._ledger = Ledger(system.ledger_url)

    def play(self) -> dict[str, float]:
        """The figures of this database."""
        try:
            plan = self._plan
            self._timed(plan.job)
            free = self._fastest(plan.job)
            self._tell("pause", "budget", LARGE)
            self._submit(plan.backlog, LARGE)
            self._until_routed()
            beside = self._fastest(plan.job)
            self._tell("pause", "tier", "gpu")
            tenants = self._send(plan.each, 0.0, "background")
            self._tell("resume", "budget", LARGE)
            self._until_routed()
            self._tell("resume", "tier", "gpu")
            self._until_called(tenants)
            # What is left of the backlog is for what follows.
            self._tell("pause", "budget", LARGE)
            jain = self._jain(tenants)
            waits = self._beside(plan.singles, plan.pause, "interactive", 1)
            small = self._beside(FEW, 0.0, "background", TENANTS)
            self._tell("resume", "budget", LARGE)
            self._until_ended()
            return {
                "interactive_p99_s": round(_rank(waits, 0.99), 3),
                "interactive_p50_s": round(_rank(waits, 0.5), 3),
                "jain": round(jain, 3),
                "small_p99_wait_s": round(_rank(small, 0.99), 3),
                "paused_ratio": round(beside / free, 3),
            }
        finally:
            self._ledger.close()

    def _jain(self, tenants: Mapping[str, Sequence[str | float]]) -> float:
        """Jain's index of the calls of each tenant, until a small one has had half of its own.

        Until then all have work that is not sent yet; later the queue alone would be measured.
        """
        called = self._until_called(tenants)
        budget_of = {item: str(told[0]) for item, told in tenants.items()}
        calls: dict[str, list[float]] = {}
        for item, budget in budget_of.items():
            calls.setdefault(budget, []).append(called[item])
        begun = min(min(times) for times in calls.values())
        until = min(sorted(times)[len(times) // 2 - 1] for times in calls.values())
        served = Counter(
            budget_of.get(item, LARGE) for item, at in called.items() if begun <= at <= until
        )
        say(
            f"           {sum(served.values())} calls until one has had half, of {LARGE}"
            f" {served[LARGE]}, of the others {min(served.values())} to {max(served.values())}"
        )
        shares = [served[budget] for budget in (LARGE, *calls)]
        return sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))

    def _beside(self, count: int, pause: float, latency: str, tenants: int) -> list[float]:
        """Seconds from each call to the engine's, while the backlog is worked on.

        Raises ``AssertionError`` where the backlog ended before.
        """
        sent = self._send(count, pause, latency, tenants=tenants, beside=LARGE)
        called = self._until_called(sent)
        self._tell("pause", "budget", LARGE)
        left = self._any(items.c.budget == LARGE, items.c.ended_at.is_(None))
        assert left, "the backlog ended too early: a larger one is needed"
        return sorted(called[item] - float(told[1]) for item, told in sent.items())

    def _until_called(self, wanted: Mapping[str, object]) -> dict[str, float]:
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            # The last line may be half written.
            whole = self._calls.read_text(encoding="utf-8").rpartition("\n")[0].splitlines()
            called = {line.split()[0]: float(line.split()[1]) for line in whole}
            if wanted.keys() <= called.keys():
                return called
            time.sleep(0.2)
        raise TimeoutError(
            f"not all of {len(wanted)} items were called in {PATIENCE_SECONDS:.0f} s"
        )

    def _fastest(self, count: int) -> float:
        rates = [self._timed(count) for _ in range(TIMED)]
        say(f"           {', '.join(f'{rate:.0f}' for rate in rates)} items/s")
        return max(rates)

    def _timed(self, count: int) -> float:
        """Items a second of one job of a tenant of its own, to the last committed end."""
        job, began = self._submit(count, "timed")
        open_of_job = (items.c.job_id == job, items.c.ended_at.is_(None))
        self._until(lambda: not self._any(*open_of_job))
        with self._ledger.read() as connection:
            ended = connection.execute(
                select(func.max(items.c.ended_at)).where(items.c.job_id == job)
            ).scalar_one()
        return count / (float(ended) / 1e6 - began)

    def _submit(self, count: int, budget: str) -> tuple[str, float]:
        """Submit a job; returns its id and when that began."""
        path = self._system.folder / f"{budget}{count}.csv"
        tickets.write(path, count)
        began = time.time()
        told = self._command(
            *("job", "submit", str(path), "--task", "tierqueue.classify", "--column", "text"),
            *(
                "--set",
                f"labels={','.join(tickets.LABELS)}",
                "--budget",
                budget,
                "--anew",
                "--json",
            ),
        )
        return str(json.loads(told)["job"]), began

    def _send(
        self, count: int, pause: float, latency: str, *, tenants: int = TENANTS, beside: str = ""
    ) -> dict[str, list[str | float]]:
        """Calls of small tenants: budget and time of each, by item id.

        ``beside``: the paused budget that is resumed just before the first.
        """
        sent: dict[str, list[str | float]] = run(
            "bench.producers.tenants",
            *(tenants, count, pause, latency, beside),
            environ=self._system.environ,
            timeout=PATIENCE_SECONDS,
        )
        return sent

    def _tell(self, *words: str) -> None:
        self._command(*words)

    def _command(self, *words: str) -> str:
        ran = subprocess.run(
            ["tierqueue", *words],
            cwd=ROOT,
            env=self._system.environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
        if ran.returncode:
            raise RuntimeError(f"tierqueue {' '.join(words[:2])} failed:\n{ran.stderr[-2000:]}")
        return ran.stdout

    def _until_routed(self) -> None:
        self._until(lambda: not self._any(items.c.state == "submitted"))

    def _until_ended(self) -> None:
        self._until(lambda: not self._any(items.c.ended_at.is_(None)))

    def _until(self, reached: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE_SECONDS
        while not reached():
            if time.monotonic() > until:
                raise TimeoutError(f"nothing came of it in {PATIENCE_SECONDS:.0f} s")
            time.sleep(0.1)

    def _any(self, *where: ColumnElement[bool]) -> bool:
        with self._ledger.read() as connection:
            found = select(items.c.id).where(*where).limit(1)
            return connection.execute(found).first() is not None


def _rank(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of them does not exceed."""
    return ordered[math.ceil(len(ordered) * share) - 1]


if __name__ == "__main__":
    main()
