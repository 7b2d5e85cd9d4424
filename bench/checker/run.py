"""The run under judgement: the ledger's tables as they stand, and every log beside them."""

import json
import sqlite3
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

Row = dict[str, Any]

_JSON = ("output", "receipt", "balances")
_COLUMNS = {
    "items": "id, state, reason, fence, budget, job_id, job_index, spent, held, lost_claims,"
    " output, ended_at",
    "attempts": "item_id, fence, deployment, metered, worker, ended_at, outcome, cost",
    "promises": "id, item_id, kept_at",
    "jobs": "id, source",
    "ceilings": 'scope, name, "window", "limit"',
    "balances": 'id, scope, name, "window", spent, held, peak',
    "entries": "id, balance_id, held, spent",
}


def connect(url: str) -> Callable[[str], list[Row]]:
    """Opens a ledger to read; returns what runs a query and gives its rows by column name."""
    if url.startswith("sqlite:///"):
        path = url.removeprefix("sqlite:///")
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
        connection.row_factory = sqlite3.Row

        def ask(query: str) -> list[Row]:
            return [dict(row) for row in connection.execute(query)]

        return ask
    import psycopg
    from psycopg.rows import dict_row

    def ask_server(query: str) -> list[Row]:
        with closing(psycopg.connect(url, autocommit=True, row_factory=dict_row)) as server:
            return server.execute(query.encode()).fetchall()

    return ask_server


class Run:
    """One run, read into memory."""

    def __init__(self, folder: Path, tables: dict[str, list[Row]]) -> None:
        self.items: dict[str, Row] = {row["id"]: row for row in tables["items"]}
        self.attempts: dict[str, list[Row]] = defaultdict(list)
        for row in sorted(tables["attempts"], key=lambda attempt: int(attempt["fence"])):
            self.attempts[row["item_id"]].append(row)
        self.promises = {row["id"]: row for row in tables["promises"]}
        self.balances, self.entries = tables["balances"], tables["entries"]
        self._ceilings = {
            (row["scope"], row["name"], row["window"]): int(row["limit"])
            for row in tables["ceilings"]
        }
        jobs = {row["id"]: row["source"] for row in tables["jobs"]}
        self._of_job = {
            f"job:{jobs[row['job_id']]}:{row['job_index']}": row
            for row in tables["items"]
            if row["job_id"] is not None
        }
        self.keys = list(_lines(folder, "keys-*.jsonl"))
        self.bare = list(_lines(folder, "accepted.jsonl"))
        self.faults = list(_lines(folder, "faults.jsonl"))
        self.crashes = list(_lines(folder, "crashes.jsonl"))
        self.samples = list(_lines(folder, "samples.jsonl"))
        self.results = list(_lines(folder, "results.jsonl"))
        self.stale = [
            (line["item"], int(line["fence"]))
            for line in _lines(folder, "*.log")
            if line.get("event") == "stale_fence"
        ]
        self.calls = _calls(folder)
        self.calls_by_fence: dict[tuple[str, int], list[Row]] = defaultdict(list)
        for call in self.calls:
            self.calls_by_fence[call["item"], int(call["fence"])].append(call)
        policy = folder / "policy.toml"
        self.deployments: dict[str, Any] = {}
        if policy.exists():
            self.deployments = tomllib.loads(policy.read_text(encoding="utf-8"))["deployments"]

    def item_of(self, key: str) -> Row | None:
        """The item behind a producer's key: a Celery task id, or a row of a job's file."""
        if key.startswith("job:"):
            return self._of_job.get(key)
        promise = self.promises.get(key)
        return None if promise is None else self.items[promise["item_id"]]

    def limit(self, scope: str, name: str, window: str) -> int:
        """The ceiling in nano-dollars; boundless where there is none."""
        exact = self._ceilings.get((scope, name, window))
        found = self._ceilings.get((scope, "*", window)) if exact is None else exact
        return 1 << 62 if found is None else found


class Violations:
    """Broken invariants and who broke them, under the producers' keys where there are any."""

    def __init__(self, run: Run) -> None:
        self.by_invariant: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self._keys: dict[str, str] = {row["item_id"]: row["id"] for row in run.promises.values()}

    def add(self, invariant: str, key: str, why: str) -> None:
        """One offence; ``key`` is a producer's key or an item's id."""
        self.by_invariant[invariant].append((self._keys.get(key, key), why))


def open_run(folder: Path, ledger: str | None) -> Run:
    """Read a run; without a ledger every table is empty (bare Celery has none)."""
    tables: dict[str, list[Row]] = {name: [] for name in _COLUMNS}
    if ledger is not None:
        ask = connect(ledger)
        for name, columns in _COLUMNS.items():
            order = " ORDER BY id" if name == "entries" else ""
            tables[name] = [_parsed(row) for row in ask(f"SELECT {columns} FROM {name}{order}")]
    return Run(folder, tables)


def percentile(ordered: Sequence[float], percent: float) -> float | None:
    """The value that ``percent`` of the ordered values do not exceed; ``None`` of nothing."""
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def _parsed(row: Row) -> Row:
    for name in _JSON:
        if isinstance(row.get(name), str):
            row[name] = json.loads(row[name])
    return row


def _lines(folder: Path, pattern: str) -> Iterator[Row]:
    """The JSON objects of a log, which may also hold other lines and end in the middle of one."""
    for path in sorted(folder.glob(pattern)):
        with path.open(encoding="utf-8", errors="replace") as file:
            for text in file:
                if text.startswith("{"):
                    try:
                        yield json.loads(text)
                    except ValueError:
                        continue


def _calls(folder: Path) -> list[Row]:
    """Every call an engine saw, once; a call that was cut off has no tokens and no cost."""
    seen: dict[tuple[str, str, float], Row] = {}
    for line in _lines(folder, "engine-*.jsonl"):
        found = {"ended": line["started"], "cost_nanousd": 0, **line}
        seen[line["item"], line["fence"], line["started"]] = found
    served = [line for line in _lines(folder, "sandbox.jsonl") if line["item"] is not None]
    return [*seen.values(), *served]
