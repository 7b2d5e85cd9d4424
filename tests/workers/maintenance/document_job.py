"""A job of documents, and a test in the place of routing stage and workers."""

import json
from pathlib import Path
from typing import Any

from sqlalchemy import update

from tests.tasks.producer import Producer
from tests.waiting import until
from tierqueue.ledger.operations import jobs
from tierqueue.ledger.results import promises
from tierqueue.ledger.results.promises import Ending
from tierqueue.ledger.tables import items
from tierqueue.router.policy.policy import Policy
from tierqueue.tasks import ask
from tierqueue.tasks.jobs.submission import Submission, SubmittedJob
from tierqueue.tasks.results.delivery import Delivery
from tierqueue.tasks.submission.item_task import ItemTask
from tierqueue.tasks.submission.pieces import Pieces
from tierqueue.workers.maintenance.documents import Documents

TEXT = "\n\n".join(
    f"Page {page} begins here.\n" + "Nothing is said in this line of it.\n" * 30
    for page in range(1, 5)
)
SHORT = "Only this page begins here."
ALWAYS = Pieces(1_300, "always")
LEASE_SECONDS = 10.0
RECEIPT = {"tokens": {"input": 300, "output": 20}, "tier": "gpu"}


class Job:
    """A job of documents, and this test in the place of routing stage and workers."""

    def __init__(self, producer: Producer, path: Path) -> None:
        self.producer = producer
        self.path = path
        self.documents = self.stage()

    def stage(self, lease_seconds: float = LEASE_SECONDS) -> Documents:
        """A routing stage, as far as documents are concerned."""
        told = Delivery(self.producer.app)
        return Documents(
            self.producer.ledger, Policy(digest="d"), told, lease_seconds=lease_seconds
        )

    def submit(
        self,
        texts: list[str],
        task: ItemTask[..., Any] = ask,
        pieces: Pieces = ALWAYS,
        **fixed: Any,
    ) -> SubmittedJob:
        self.path.write_text("\n".join(json.dumps({"text": text}) for text in texts))
        if task is ask:
            fixed = {"question": "Where does each page begin?", **fixed}
        submission = Submission(task, self.path, fixed, pieces=pieces)
        done = submission.submit(
            self.producer.ledger, lambda: None, max_cost=None, progress=lambda *_: None
        )
        self.id = done.id
        return done

    def rows(self) -> list[Any]:
        found = [row for row in self.producer.all_items() if row.part_of is None]
        return sorted(found, key=lambda row: row.job_index)

    def parts(self) -> list[Any]:
        found = [row for row in self.producer.all_items() if row.part_of is not None]
        return sorted(found, key=lambda row: (row.split["to"], -row.split["from"]))

    def open(self) -> list[Any]:
        return [row for row in self.parts() if row.state == "submitted"]

    def finish(self, row: Any, output: Any = None, spent: int = 5) -> None:
        output = output or {"answer": "Here.", "quotations": ["Page 1 begins here."]}
        with self.producer.ledger.write() as connection:
            of = update(items).where(items.c.id == row.id)
            connection.execute(of.values(spent=spent, calls=1, tier="gpu"))
        self._tell(self.producer.answer(row.id, output, **RECEIPT))

    def kill(self, row: Any, reason: str = "rejected") -> None:
        self._tell(self.producer.kill(row.id, reason))

    def _tell(self, ending: Ending) -> None:
        """Tell it, and as a tick does again, until it is known that it was."""

        def known() -> bool:
            self.producer.tell(ending)
            with self.producer.ledger.read() as connection:
                return not promises.unfulfilled(connection, [ending.item_id])

        until(known)

    def progress(self) -> jobs.JobProgress:
        with self.producer.ledger.read() as connection:
            return jobs.progress(connection, self.id)
