"""Documents of jobs in pieces: each is cut once it is there, and ends once its pieces have."""

import structlog

from tierqueue.ledger.in_force import evidence
from tierqueue.ledger.lifecycle import documents
from tierqueue.ledger.lifecycle.documents import AGAIN_US, DocumentEnd
from tierqueue.ledger.lifecycle.items import Death
from tierqueue.ledger.session import Ledger, unreachable
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.whole_item import WholeItem
from tierqueue.router.choose import Conditions
from tierqueue.router.errors import InvalidItem
from tierqueue.router.item import Demands
from tierqueue.router.policy.demands import resolve
from tierqueue.router.policy.duration import microseconds
from tierqueue.router.policy.policy import Policy
from tierqueue.tasks.kinds.job_document import JobDocument
from tierqueue.tasks.results.delivery import Delivery
from tierqueue.tasks.routing.token_counter import TokenCounter

_log = structlog.get_logger(__name__)

MOST = 64
"""Documents that one tick looks at; the next takes the others."""


class Documents:
    """Cuts documents that are longer than a piece, unless the whole costs no more by ``policy``,
    and ends those whose pieces have ended. Many stages share them through the ledger: who takes a
    document and is killed is followed by another after ``lease_seconds``.
    """

    def __init__(
        self, ledger: Ledger, policy: Policy, delivery: Delivery, *, lease_seconds: float
    ) -> None:
        self._ledger = ledger
        self._delivery = delivery
        self._lease_us = microseconds(lease_seconds)
        self.use(policy)

    def use(self, policy: Policy) -> None:
        """Go by another policy."""
        self._policy, self._counter = policy, TokenCounter(policy)

    def tick(self) -> bool:
        """Look at what is due; true: more may be. One document that fails stops no other."""
        with self._ledger.read() as connection:
            now = database_now(connection)
            due = documents.due(connection, now, MOST)
        for document in due:
            self._check(document)
        return len(due) == MOST

    def _check(self, document: str) -> None:
        with self._ledger.read() as connection:
            row, now = documents.waiting(connection, document), database_now(connection)
        if row is None or row.ready_at > now:
            return
        # What takes long is done by one stage; whatever ends from here on has it looked at again.
        taken_until = now + self._lease_us
        with self._ledger.write() as connection:
            if not documents.take(connection, document, now, taken_until):
                return
        try:
            self._cut_or_end(document, row, now)
        except Exception as error:
            if unreachable(error):
                raise
            _log.exception("document_failed", item=document, error=type(error).__name__)
        with self._ledger.write() as connection:
            documents.rest(connection, document, taken_until, now + AGAIN_US)

    def _cut_or_end(self, document: str, row: WholeItem, now: int) -> None:
        deadline = row.deadline or self._deadline(row.task, now)
        if "spans" in (row.split or ()):
            if row.deadline is None:
                with self._ledger.write() as connection:
                    documents.give_deadline(connection, document, deadline)
            with self._ledger.read() as connection:
                if documents.goes_on(connection, document):
                    return
            self._end(document)
            return
        try:
            self._begin(document, JobDocument(row._replace(deadline=deadline)), deadline)
        except InvalidItem as error:
            self._refuse(document, error)

    def _deadline(self, task: str, now: int) -> int:
        """The moment by which a document is to be done that states none (epoch µs)."""
        deadline = resolve(Demands(), task, self._policy, now).deadline
        assert deadline is not None
        return deadline

    def _begin(self, document: str, found: JobDocument, deadline: int) -> None:
        """Cut it, or have it done whole; what takes long is done before the transaction."""
        cut = None if self._whole(found) else found.cut()
        with self._ledger.write() as connection:
            row = documents.waiting(connection, document, lock=True)
            if row is None or "spans" in (row.split or ()):
                return
            if cut is None:
                documents.as_one(connection, document)
            else:
                documents.cut(connection, row, cut, database_now(connection), deadline)

    def _whole(self, found: JobDocument) -> bool:
        if found.always:
            return False
        with self._ledger.read() as connection:
            known = evidence.by_task(connection)
            now = database_now(connection)
        seen = Conditions(now=now, evidence=known)
        return not found.compared(self._policy, seen, self._counter).split

    def _end(self, document: str) -> None:
        with self._ledger.write() as connection:
            now = database_now(connection)
            row = documents.waiting(connection, document, lock=True)
            if row is None:
                return
            parts = documents.parts_of(connection, document)
            ended = JobDocument(row).end(parts)
            if ended is None:
                return
            ends = documents.end(connection, document, ended, now)
        self._delivery.ended(ends)

    def _refuse(self, document: str, error: InvalidItem) -> None:
        fields = {**error.fields, "item": document}
        death = Death(document, error.reason, error.message, fields)
        with self._ledger.write() as connection:
            if documents.waiting(connection, document, lock=True) is None:
                return
            ended = DocumentEnd(None, death, 0, None, None, None)
            ends = documents.end(connection, document, ended, database_now(connection))
        self._delivery.ended(ends)
