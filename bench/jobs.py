"""Jobs: what a killed, grown or repetitive file costs, and how well its cost and time are foretold.

The providers are the sandbox, so every answer is simulated; what was paid is told by its own log.
"""

import argparse
import csv
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import func, select

from bench.stage.system import DATABASES, ON_DISK, databases, say
from tierqueue.ledger.operations import jobs
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import attempts, items, job_rows
from tierqueue.tasks.files.opening import open_source
from tierqueue.tasks.files.source import SourceRow
from tierqueue.tasks.jobs.outlook import outlook_of
from tierqueue.tasks.jobs.sampled_cost import Stratum, whole
from tierqueue.tasks.jobs.sampling import draw
from tierqueue.tasks.submission import fingerprint
from tools.keeper import bound_to_parent
from tools.system import ROOT, System

_POLICY = """
allow_simulated = true
default_sensitivity = "internal"

[deployments.open]
tier = "open_weight"
engine = "openai"
model = "open-small"
base_url = "http://127.0.0.1:{port}/v1"
key_env = "SANDBOX_KEY"
context_window = 32768
boundary = "vendor:opens"
simulated = true
prices = {{ input = "0.10", output = "0.40" }}
"""

_PATIENCE_SECONDS = 1_800.0
"""Seconds: a busy machine takes many times what an idle one does."""

_LATENCY = 200
"""Milliseconds of a call, as a vendor's short ones take: a tenth of the rows is some seconds."""


@dataclass(frozen=True, slots=True)
class Plan:
    rows: int
    megabytes: int


FULL, QUICK = Plan(8_000, 1_000), Plan(1_500, 60)


def main() -> None:
    """Print one JSON line: the worse of both databases at the top, and each beside it."""
    parser = argparse.ArgumentParser(prog="python -m bench.jobs", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small files, about a minute")
    parser.add_argument("--only", choices=DATABASES, help="one of the two databases")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read is not None:
        print(_read(arguments.read))
        return
    plan = QUICK if arguments.quick else FULL
    kinds = DATABASES if arguments.only is None else (arguments.only,)
    with tempfile.TemporaryDirectory(prefix="tierqueue-bench-", dir=ON_DISK) as name:
        folder = Path(name)
        shared = {"interval_held": _intervals_held(), "peak_mb": _peak(folder, plan.megabytes)}
        found: dict[str, dict[str, float]] = {}
        with databases(folder) as stores:
            for kind in kinds:
                found[kind] = _measured(folder / kind, stores.url(kind), plan)
                say(f"{kind}: {found[kind]}")
    names = next(iter(found.values()))
    worse = {name: max(part[name] for part in found.values()) for name in names}
    print(json.dumps({**worse, **shared, **found}))


def _measured(folder: Path, url: str, plan: Plan) -> dict[str, float]:
    """One database: a pass that was killed, one with identical rows, one over a grown file."""
    folder.mkdir(parents=True)
    policy = folder / "policy.toml"
    environ = {"SANDBOX_KEY": "a-key", "TIERQUEUE_LEASE": "5", "SANDBOX_LATENCY_MS": str(_LATENCY)}
    names = ("sandbox", "routing", "open_weight")
    system = System(folder, policy=policy, ledger_url=url, processes=names, environ=environ)
    policy.write_text(_POLICY.format(port=system.sandbox_port), encoding="utf-8")
    ledger = Ledger(url)
    try:
        with system:
            told = _killed(system, ledger, plan.rows)
            told |= _grown(system, ledger, plan.rows)
            told |= _repeated(system, ledger, plan.rows)
            return told
    finally:
        ledger.close()


def _killed(system: System, ledger: Ledger, rows: int) -> dict[str, float]:
    """Submit and worker are killed half way; then the same command again."""
    path = system.folder / "tickets.csv"
    _write(path, [f"ticket {n}: {'word ' * (n % 40)}" for n in range(rows)])
    command = _submit(system, path)
    _until(lambda: _count(ledger, job_rows) >= rows // 2 or command.poll() is not None)
    command.kill()
    command.wait()
    _until(lambda: _ended(ledger) >= min(rows // 2, _count(ledger, items)) // 2)
    worker = system.processes["open_weight"]
    os.killpg(worker.popen.pid, signal.SIGKILL)
    worker.wait(10)
    system.spawn("open_weight").wait_ready(60)
    _done(_submit(system, path))
    _until(lambda: _ended(ledger) >= rows)
    unknown = attempts.c.outcome.in_(("unknown", "lost"))
    with ledger.read() as connection:
        lost = connection.execute(select(func.count()).where(unknown)).scalar_one()
    return {"paid_share": (_calls(system) - lost) / rows, "unknown_calls": lost}


def _grown(system: System, ledger: Ledger, rows: int) -> dict[str, float]:
    """A tenth of rows more: what they cost, and whether the whole file comes back."""
    path, back = system.folder / "tickets.csv", system.folder / "answers.csv"
    more = max(1, rows // 10)
    with path.open("a", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([f"n{n}", f"new ticket {n}", "é,\n'"] for n in range(more))
    before = _calls(system)
    _done(_submit(system, path))
    _until(lambda: _ended(ledger) >= rows + more)
    with ledger.read() as connection:
        (job,) = jobs.newest(connection, 1)
    words = ["tierqueue", "job", "results", job.id, "--to", str(back)]
    subprocess.run(words, cwd=ROOT, env=system.environ, check=True, capture_output=True)
    with (
        path.open(encoding="utf-8", newline="") as asked,
        back.open(encoding="utf-8", newline="") as given,
    ):
        source, answers = list(csv.DictReader(asked)), list(csv.DictReader(given))
    changed = sum(
        any(answer.get(name) != cell for name, cell in row.items())
        for row, answer in zip(source, answers, strict=False)
    )
    lost = len(source) - len(answers) + sum(not (a["output"] or a["error"]) for a in answers)
    return {
        "delta_share": (_calls(system) - before) / more,
        "rows_lost": lost,
        "columns_changed": changed,
    }


def _repeated(system: System, ledger: Ledger, rows: int) -> dict[str, float]:
    """Two fifths of the rows are repetitions; cost and time are foretold after a tenth."""
    path = system.folder / "repeated.csv"
    different = rows * 3 // 5
    chosen = random.Random(1)
    texts = [f"question {n}: {'word ' * chosen.randrange(40)}" for n in range(different)]
    texts += chosen.choices(texts, k=rows - different)
    chosen.shuffle(texts)
    _write(path, texts)
    before, ended = _calls(system), _ended(ledger)
    _done(_submit(system, path))
    with ledger.read() as connection:
        (job,) = jobs.newest(connection, 1)
    _until(lambda: _ended(ledger) - ended >= different // 10)
    _, then = outlook_of(ledger, job.id)
    at = time.time()
    _until(lambda: _ended(ledger) - ended >= different)
    with ledger.read() as connection:
        progress = jobs.progress(connection, job.id)
        last = connection.execute(select(func.max(items.c.ended_at))).scalar_one() / 1e6
    paid = progress.spent + progress.booked
    assert then.expected is not None
    return {
        "calls_share": (_calls(system) - before) / rows,
        "cost_error": abs(then.expected.value - paid) / paid,
        "eta_error": abs((then.seconds or 0.0) - (last - at)) / (last - at),
    }


def _intervals_held() -> int:
    """Of 100 seeded files (costs simulated): how many a sample of 50 foretells within its range."""
    held = 0
    for seed in range(100):
        chosen = random.Random(seed)
        refused, factor = chosen.choice([0.01, 0.05, 0.1, 0.3]), chosen.choice([5, 15, 40])
        spread = chosen.choice([0.3, 0.8, 1.3])
        texts = [f"{n} " + "x" * int(chosen.lognormvariate(5, spread)) for n in range(2_000)]
        first = [(len(text) / 4 + 100) * 0.3 + chosen.randint(30, 90) for text in texts]
        more = [cost * factor * (chosen.random() < refused) for cost in first]
        rows = (SourceRow(n, {"text": text}, "") for n, text in enumerate(texts))
        layers = draw(rows, 50, only="text", by=None)
        strata = [
            Stratum(layer.rows, [first[n] for n in layer.numbers], layer.unsure) for layer in layers
        ]
        on = [more[n] for layer in layers for n in layer.numbers if more[n]]
        told = whole(strata, on, max(first) * 40)
        held += told.low <= sum(first) + sum(more) <= told.high
    return held


def _peak(folder: Path, megabytes: int) -> float:
    """MB that a process needs at the most to read a CSV and a Parquet file of so many MB, each row
    hashed as a submission does it.
    """
    path, columns = folder / "big.csv", folder / "big.parquet"
    with path.open("w", encoding="utf-8") as file:
        file.write("text,n\n")
        file.writelines(f"{_line(n)},{n}\n" for n in range(megabytes * 1_000))
    fields = pa.schema([("text", pa.string()), ("n", pa.int64())])
    # Not compressed, and of lines that differ: so many MB are so many MB.
    with pq.ParquetWriter(columns, fields, compression="none", use_dictionary=False) as into:
        for megabyte in range(megabytes):
            numbers = list(range(megabyte * 1_000, megabyte * 1_000 + 1_000))
            texts = [_line(n) for n in numbers]
            into.write_table(pa.table({"text": texts, "n": numbers}, schema=fields))
    peaks = []
    for big in (path, columns):
        words = [sys.executable, "-m", "bench.jobs", "--read", str(big)]
        told = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        peaks.append(float(told.splitlines()[-1]))
        say(f"peak_mb of {big.name}: {peaks[-1]:.0f}")
        big.unlink()
    return max(peaks)


def _line(number: int) -> str:
    return f"{number:010}" * 99


def _read(path: Path) -> float:
    for row in open_source(path).rows():
        fingerprint.of_row(row.columns, "text")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _write(path: Path, texts: list[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["id", "text", "note"])
        lines.writerows([f"000{n}", text, 'a "note", with\nlines'] for n, text in enumerate(texts))


def _submit(system: System, path: Path) -> "subprocess.Popen[bytes]":
    words = ["tierqueue", "job", "submit", str(path), "--task", "tierqueue.complete"]
    words += ["--column", "text", "--risk", "internal", "--set", "max_output_tokens=16"]
    return bound_to_parent(
        subprocess.Popen(
            words, cwd=ROOT, env=system.environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
    )


def _done(command: "subprocess.Popen[bytes]") -> None:
    _, said = command.communicate(timeout=_PATIENCE_SECONDS)
    if command.returncode:
        raise RuntimeError(f"job submit failed:\n{said.decode(errors='replace')[-2000:]}")


def _count(ledger: Ledger, table: Any) -> int:
    with ledger.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def _ended(ledger: Ledger) -> int:
    over = select(func.count()).where(items.c.ended_at.is_not(None))
    with ledger.read() as connection:
        return int(connection.execute(over).scalar_one())


def _calls(system: System) -> int:
    """Completions that the sandbox served, by its own log."""
    return len(system.sandbox_log.read_text(encoding="utf-8").splitlines())


def _until(reached: Callable[[], bool]) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while not reached():
        if time.monotonic() > until:
            raise TimeoutError(f"not reached in {_PATIENCE_SECONDS:.0f} s")
        time.sleep(0.05)


if __name__ == "__main__":
    main()
