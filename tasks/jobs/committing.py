"""A job's rows as they are committed: batch by batch, what is there already left as it is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tierqueue.ledger.contents import content_store
from tierqueue.ledger.lifecycle.items import Death, NewItem, die, prepare
from tierqueue.ledger.operations import job_rows, jobs
from tierqueue.ledger.operations.job_rows import JobRow
from tierqueue.ledger.results import sinks
from tierqueue.ledger.session import Ledger, unstorable
from tierqueue.router.errors import InvalidItem


class RowChanged(Exception):
    """A row that was committed before reads otherwise now: the file, or what is asked of it."""


@dataclass(frozen=True, slots=True)
class NewRow:
    """What a row becomes: an item, perhaps dead from the start, and what was read and asked.

    ``key``: by what it goes back into somebody's table, ``None`` where it does not; ``pages``: with
    which characters of its text they begin.
    """

    new: NewItem
    death: Death | None
    content: str
    fingerprint: str
    key: Any = None
    pages: tuple[int, ...] = (0,)

    @property
    def number(self) -> int:
        """Which row of the file, from 0."""
        assert self.new.job_index is not None
        return self.new.job_index


def unusable(new: NewItem, content: str, wrong: str, where: dict[str, Any] | None = None) -> NewRow:
    """An item that is dead from the start, so that the job's counts add up."""
    told = {"item": new.id, "job": new.job_id, "index": new.job_index, **(where or {})}
    kept = new if where else replace(new, arguments={}, metadata=None, budget=None)
    return NewRow(kept, Death(new.id, InvalidItem.reason, wrong, told), content, content)


@dataclass(slots=True)
class Counts:
    """What became of rows: ``paid``: new items, of which ``malformed`` are dead from the start;
    ``reused``: rows that another row's item answers; ``known``: committed by an earlier call.
    """

    paid: int = 0
    malformed: int = 0
    reused: int = 0
    known: int = 0


class RowCommitter:
    """Adds rows to one job. ``run``: its rows may be answered by items of that run's jobs, those
    that have failed too where ``failed_too``; without it every row is an item of its own.
    ``goes_back``: the job has a sink, and its rows their keys.
    """

    def __init__(
        self,
        ledger: Ledger,
        job_id: str,
        *,
        run: str | None,
        failed_too: bool = True,
        goes_back: bool = False,
    ) -> None:
        self._ledger = ledger
        self._job = job_id
        self._run = run
        self._failed_too = failed_too
        self._goes_back = goes_back
        self._keys: dict[int, tuple[Any, Sequence[int]]] = {}
        self.counts = Counts()

    def add(self, made: Sequence[NewRow]) -> None:
        """Commit a batch of rows in the file's order.

        Raises ``Cancelled`` when the job was cancelled meanwhile, ``RowChanged`` where a row that
        is there reads otherwise.
        """
        self._keys = {row.number: (row.key, row.pages) for row in made}
        while not self._added(made):
            pass  # somebody else committed some of them meanwhile

    def ends_at(self, total: int) -> None:
        """Raises ``RowChanged`` where the job has rows beyond the ``total`` of its file."""
        with self._ledger.read() as connection:
            if job_rows.answers(connection, self._job, total - 1, 1):
                raise RowChanged

    def _added(self, made: Sequence[NewRow]) -> bool:
        with self._ledger.read() as connection:
            there = job_rows.between(connection, self._job, made[0].number, made[-1].number)
            missing = [row for row in made if row.number not in there]
            known: dict[str, str] = {}
            if self._run is not None and missing:
                known = job_rows.answering(
                    connection,
                    self._run,
                    [row.fingerprint for row in missing],
                    job_id=self._job,
                    failed_too=self._failed_too,
                    prompt=next((row.new.prompt for row in missing if row.new.prompt), None),
                )
        if there and self._goes_back:
            # An earlier call committed them, which may have known of no table.
            with self._ledger.write() as connection:
                sinks.add(connection, self._job, self._keys)
        for row in made:
            if row.number in there and _differs(row, *there[row.number]):
                raise RowChanged
        own: list[NewRow] = []
        rows: list[JobRow] = []
        for row in missing:
            shared = known.get(row.fingerprint)
            if shared is None:
                own.append(row)
                if self._run is not None:
                    known[row.fingerprint] = row.new.id
            rows.append(self._row(row, shared))
        if not missing or self._write(own, rows, made[0].number, made[-1].number, len(there)):
            self.counts.known += len(there)
            self.counts.reused += len(rows) - len(own)
            return True
        return False

    def _row(self, made: NewRow, shared: str | None) -> JobRow:
        return JobRow(
            job_id=self._job,
            number=made.number,
            item_id=shared or made.new.id,
            content=made.content,
            fingerprint=None if shared else made.fingerprint,
        )

    def _write(
        self, own: Sequence[NewRow], rows: Sequence[JobRow], first: int, last: int, there: int
    ) -> bool:
        """Commit rows and their own items in one transaction; false where others are there."""
        deaths = [made.death for made in own if made.death is not None]
        now = self._ledger.now()
        try:
            # Before the transaction: on SQLite nobody else writes while it is open.
            items = prepare(self._ledger.dialect, [made.new for made in own], now)
            prepared = job_rows.prepare(self._ledger.dialect, rows)
            with self._ledger.write() as connection:
                jobs.accepting(connection, self._job)
                if len(job_rows.between(connection, self._job, first, last)) != there:
                    return False
                items.write(connection)
                content_store.write(
                    connection, {made.new.id: made.new.contents for made in own}, now
                )
                prepared.write(connection)
                if self._goes_back:
                    keys = {row.number: self._keys[row.number] for row in rows}
                    sinks.add(connection, self._job, keys)
                die(connection, deaths, now)
        except Exception as error:
            if not unstorable(error):
                raise
            return self._write_apart(own, rows)
        self.counts.paid += len(own)
        self.counts.malformed += len(deaths)
        return True

    def _write_apart(self, own: Sequence[NewRow], rows: Sequence[JobRow]) -> bool:
        """One row that the database can never hold must not take its neighbours with it."""
        if len(rows) == 1:
            ((made,),) = (own,)
            if made.death is not None:
                raise InvalidItem(f"row {made.number} cannot be written down at all")
            own = [unusable(made.new, made.content, "the database cannot hold it")]
            return self._write(own, rows, rows[0].number, rows[0].number, 0)
        half = len(rows) // 2
        whole = True
        for part in (rows[:half], rows[half:]):
            ids = {row.item_id for row in part if row.fingerprint is not None}
            mine = [made for made in own if made.new.id in ids]
            whole &= self._write(mine, part, part[0].number, part[-1].number, 0)
        return whole


def _differs(made: NewRow, content: str, fingerprint: str | None) -> bool:
    if content and content != made.content:
        return True
    return bool(fingerprint) and fingerprint != made.fingerprint
