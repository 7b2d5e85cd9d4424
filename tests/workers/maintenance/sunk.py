"""Jobs whose rows go back into somebody's table, as tests need them."""

from pathlib import Path
from typing import Any

from sqlalchemy import Engine, update

from tests.tasks.producer import Producer
from tierqueue.ledger.results import sinks as ledger_sinks
from tierqueue.ledger.results.sinks import Sink
from tierqueue.ledger.tables import sinks
from tierqueue.operations import health
from tierqueue.tasks import IntoTable, classify
from tierqueue.tasks.jobs.submission import Submission
from tierqueue.workers.maintenance.job_sinks import JobSinks

INTO = IntoTable("env:HELPDESK", "tickets", "id")
TICKETS = "id,text\n1,x\n2,y\n3,z\n"


def run(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)


def tickets(helpdesk: Engine) -> list[tuple[Any, ...]]:
    with helpdesk.connect() as connection:
        found = connection.exec_driver_sql("SELECT id, output_label, error FROM tickets ORDER BY 1")
        return [tuple(row) for row in found]


def submitted(producer: Producer, path: Path, into: IntoTable | None = INTO, **how: Any) -> str:
    return (
        Submission(classify, path, {"labels": ["a", "b"]}, column="text")
        .submit(
            producer.ledger, lambda: None, max_cost=None, progress=lambda *_: None, into=into, **how
        )
        .id
    )


def tick(producer: Producer) -> bool:
    """A look now, whenever the next one is due."""
    with producer.ledger.write() as connection:
        connection.execute(update(sinks).where(sinks.c.look_at.is_not(None)).values(look_at=0))
    return JobSinks(producer.ledger).one()


def sink_of(producer: Producer, job_id: str) -> Sink:
    with producer.ledger.read() as connection:
        found = ledger_sinks.get(connection, job_id)
    assert found is not None
    return found


def failing(producer: Producer) -> list[Any]:
    found = health.check(producer.app).findings
    return [finding for finding in found if finding.code == "sink_failing"]


def label(said: Any) -> Any:
    return {"label": said["text"]}
