"""Sends the demo's work and waits until every item of it has ended."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from celery import exceptions
from rich.console import Console

from examples.demo import sample as samples
from examples.demo.place import Place
from examples.demo.summary import Case, Summary
from tierqueue.operations.cli.output.job_progress import follow
from tierqueue.router.errors import InvalidItem, TierqueueError
from tierqueue.tasks import classify
from tierqueue.tasks.app import app
from tierqueue.tasks.jobs.export.results import every_result
from tierqueue.tasks.jobs.submission import Submission

_PATIENCE_SECONDS = 60.0
"""Seconds without any progress after which the demo stops waiting."""


def sample(place: Place, console: Console) -> Summary:
    """The sample: calls by ``.delay()``, the tickets as a job, and the cases (sandbox only)."""
    calls = list(samples.calls(public=place.live))
    if not place.live:
        calls += samples.cases()
    sent = [(call, call.task.delay(**call.arguments)) for call in calls]
    console.print(f"{len(sent)} items sent by .delay()")
    ids = [result.id for _, result in sent]
    fixed: dict[str, Any] = {"labels": samples.LABELS}
    if place.live:
        job_id = _job(samples.TICKETS, {**fixed, "sensitivity": "public"}, "text", console)
    else:
        fixed["min_confidence"] = samples.SURE
        job_id = _job(samples.TICKETS, fixed, None, console)
    cases = []
    until = time.monotonic() + _PATIENCE_SECONDS
    for call, result in sent:
        ended, right = _ended(result, call.case, until)
        if call.case is not None:
            cases.append(Case(call.case, ended, right))
    rows = list(every_result(app.installation.ledger, job_id))
    if not place.live:
        cases.append(_malformed(rows))
    return Summary(
        app.installation.ledger,
        place.policy,
        [*ids, *(row["id"] for row in rows)],
        cases,
        {row["id"]: label for row, label in zip(rows, samples.TRUE_LABELS, strict=True) if label},
    )


def tickets(
    place: Place, path: Path, column: str, labels: Path | None, console: Console
) -> Summary:
    """A job over any CSV: one column of it, and no other, is classified."""
    names = samples.LABELS if labels is None else labels.read_text(encoding="utf-8").splitlines()
    job_id = _job(path, {"labels": [name for name in names if name.strip()]}, column, console)
    ids = [row["id"] for row in every_result(app.installation.ledger, job_id)]
    return Summary(app.installation.ledger, place.policy, ids, (), {})


def _job(path: Path, fixed: dict[str, Any], column: str | None, console: Console) -> str:
    submission = Submission(classify, path, fixed, column=column)
    submitted = submission.submit(
        app.installation.ledger,
        app.installation.wakes.call,
        max_cost=None,
        progress=_quiet,
        anew=True,
    )
    console.print(f"{submitted.total} rows of {path.name} are job {submitted.id}", markup=False)
    follow(
        app.installation.ledger, submitted.id, console=console, patience_seconds=_PATIENCE_SECONDS
    )
    return submitted.id


def _quiet(committed: int, total: int) -> None:
    """The progress bar that follows says more."""


def _ended(result: Any, case: str | None, until: float) -> tuple[str, bool]:
    """How a call ended, in words, and whether that is how its case should end."""
    wanted: dict[str | None, Callable[[str], bool]] = {
        samples.OVER_CEILING: lambda said: said == "CostCeilingExceeded",
        samples.NO_ROUTE: lambda said: said == "NoRoute",
    }
    try:
        receipt = result.get(timeout=max(0.1, until - time.monotonic()))["receipt"]
    except (TierqueueError, exceptions.TimeoutError) as error:
        name = type(error).__name__
        return f"{name}, a dead letter", case in wanted and wanted[case](name)
    ended = f"accepted on {receipt['tier']} after {receipt['attempts']} attempts"
    if case == samples.ESCALATED:
        return ended, receipt["tier"] != "gpu" and receipt["attempts"] > 1
    return ended, case is None


def _malformed(rows: list[Any]) -> Case:
    """One is refused at the call, one is a row of the job and a dead letter."""
    refused = samples.malformed_is_refused()
    dead = [row for row in rows if row["error"] and row["error"]["reason"] == InvalidItem.reason]
    ended = f"{'refused' if refused else 'NOT refused'} at the call; {len(dead)} row dead, invalid"
    return Case(samples.MALFORMED, ended, refused and len(dead) == 1)
