"""A job that has rows to come, gone on with as it was begun."""

import json
from pathlib import Path

from tierqueue.ledger.job_records import JobRecord
from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.files.source import Reading
from tierqueue.tasks.jobs.submission import Submission
from tierqueue.tasks.submission import fingerprint
from tierqueue.tasks.submission.item_task import ItemTask
from tierqueue.tasks.submission.pieces import Pieces


def resume(job: JobRecord, task: ItemTask) -> tuple[Submission, dict[str, bool]]:
    """The submission of a job that has rows to come, as it was begun, and how it is submitted.

    Raises ``InvalidItem`` where nothing is to come, or where what is asked has changed since.
    """
    if job.sample is None:
        raise InvalidItem(f"job {job.id} has no rows to come: it is no sample")
    assert job.path is not None, job.id
    asked, how = dict(job.sample["asked"]), dict(job.reading or {})
    fixed, column = asked.pop("fixed"), how.pop("column")
    pieces = Pieces.read(how.pop("pieces", None))
    path, reading = Path(job.path), Reading(**how)
    part: tuple[str | None, ...] = (reading.sheet, reading.by, reading.query)
    if pieces is not None:
        part = (*part, json.dumps(pieces.to_json()))
    now = fingerprint.of_run(task, str(path), column, fixed, anew=asked["anew"], part=part)
    if now != job.run:
        raise InvalidItem(f"job {job.id} asks another prompt than there is now: submit it anew")
    again = Submission(task, path, fixed, column=column, reading=reading, pieces=pieces)
    return again, asked
