"""Rows that are documents in pieces go back with what a file has of them."""

import json
from pathlib import Path

from sqlalchemy import Engine, update

from tests.tasks.files.documents.made import pdf
from tests.tasks.jobs.answered import answer
from tests.tasks.producer import Producer
from tests.workers.maintenance.sunk import failing, label, run, sink_of, submitted, tick
from tierqueue.ledger.operations import jobs
from tierqueue.ledger.tables import items
from tierqueue.tasks import IntoTable, Pieces, ask
from tierqueue.tasks.jobs.export.answers import Shape
from tierqueue.tasks.jobs.export.results import JobResults
from tierqueue.tasks.jobs.submission import Submission

PAGES = [
    "Nothing is said here of when anything is to be paid.\n" * 12,
    "The rent is due on Monday, says this line of page two.\n" * 12,
]


def test_a_document_has_the_same_cells_in_a_table_as_in_its_file(
    producer: Producer, helpdesk: Engine, tmp_path: Path
) -> None:
    run(
        helpdesk,
        "CREATE TABLE leases (file VARCHAR(200) PRIMARY KEY, output_answer TEXT,"
        " citations TEXT, missing TEXT)",
    )
    folder = tmp_path / "letters"
    folder.mkdir()
    pdf(folder / "lease.pdf", PAGES)
    submission = Submission(
        ask,
        folder,
        {"question": "When?"},
        pieces=Pieces(1_000, "always", "partial"),
    )
    job_id = submission.submit(
        producer.ledger,
        lambda: None,
        max_cost=None,
        progress=lambda *_: None,
        into=IntoTable("env:HELPDESK", "leases", "file"),
    ).id
    missing = [{"start": 0, "end": 40, "item": "i", "reason": "rejected"}]
    with producer.ledger.write() as connection:
        said = {
            "state": "succeeded",
            "output": {"answer": "Monday.", "quotations": ["due on Monday"]},
            "receipt": {"tokens": {}, "missing": missing},
            "ended_at": 1,
        }
        connection.execute(update(items).values(**said))
        job = jobs.get(connection, job_id)
    assert job is not None
    tick(producer)
    (row,) = JobResults(producer.ledger, job, Shape()).rows()
    assert row["citations"][0]["page"] == 2
    with helpdesk.connect() as connection:
        (there,) = connection.exec_driver_sql("SELECT citations, missing FROM leases").all()
    assert [json.loads(cell) for cell in there] == [row["citations"], row["missing"]]


def test_nobody_is_told_that_a_cancelled_job_cannot_be_written(
    producer: Producer, helpdesk: Engine, path: Path
) -> None:
    job_id = submitted(producer, path)
    answer(producer.ledger, label, before=1)
    run(helpdesk, "DROP TABLE tickets")
    tick(producer)
    assert failing(producer)
    with producer.ledger.write() as connection:
        while jobs.cancel(connection, job_id, "ada") is not None:
            pass
    assert failing(producer) == []
    tick(producer)
    assert sink_of(producer, job_id).look_at is None
