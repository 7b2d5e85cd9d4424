"""A job's file given back: every row of the source, in its order, with what became of it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tierqueue.ledger.job_records import JobRecord, RowAnswer
from tierqueue.ledger.operations import job_rows, jobs
from tierqueue.ledger.operations.jobs import Result
from tierqueue.ledger.session import Ledger
from tierqueue.router.errors import InvalidItem
from tierqueue.router.item import BelowTier
from tierqueue.router.lifecycle import ENDS, State
from tierqueue.router.money import NOTHING, format_usd
from tierqueue.router.policy.policy_errors import nearest
from tierqueue.tasks.files.opening import open_source
from tierqueue.tasks.files.source import Reading, Source, SourceRow
from tierqueue.tasks.jobs.export import answers
from tierqueue.tasks.jobs.export.answers import Shape
from tierqueue.tasks.submission import fingerprint

_PAGE = 500
_BELOW = frozenset(who.value for who in BelowTier if who is not BelowTier.REUSED)


@dataclass(slots=True)
class ResultsSummary:
    """What came of a job's rows. ``cost`` in nano-dollars and ``tokens`` are of its own items.

    ``failed``: rows by reason; ``reused``: rows with another item's answer; ``below``: own items
    that somebody else answered without a call, by who did; ``open``: items that have not ended;
    ``missing``: rows that are no items, because they were not submitted yet; ``changed``: because
    they read otherwise now; ``ended_at``: epoch microseconds, 0 where nothing has ended.
    """

    rows: int = 0
    succeeded: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    below: dict[str, int] = field(default_factory=dict)
    open: int = 0
    missing: int = 0
    changed: int = 0
    reused: int = 0
    tokens: int = 0
    cost: int = 0
    simulated: bool = False
    ended_at: int = 0


class JobResults:
    """The rows of a job's file with its answers; ``summary`` is whole once ``rows`` has ended.

    ``path``: where the file is now. Raises ``InvalidItem`` for a file that cannot be read, a key
    that is no column, and names of added columns that the source has too.
    """

    def __init__(
        self, ledger: Ledger, job: JobRecord, shape: Shape, path: Path | None = None
    ) -> None:
        self._ledger = ledger
        self._job = job.id
        assert job.path is not None, job.id
        how = dict(job.reading or {})
        self._column: str | None = how.pop("column")
        how.pop("pieces", None)
        self._of_documents = answers.of_documents(job)
        self.source: Source = _source(path or Path(job.path), Reading(**how), self._job)
        self._shape = shape
        self.summary = ResultsSummary()
        own = self.source.columns
        for key in shape.keys:
            if key not in own:
                raise InvalidItem(f"--key {key}: there is no such column{nearest(key, own)}")
        self._given = tuple(name for name in own if name in shape.keys or not shape.keys)
        self.added = self._added()
        if twice := [name for name in self.added if name in self._given]:
            raise InvalidItem(
                f"{self.source.name} has a column {twice[0]!r} of its own: say --prefix TEXT, which"
                " stands before each added name"
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns in order: the source's, then those added."""
        return (*self._given, *self.added)

    def rows(self, wait: Callable[[], None] | None = None) -> Iterator[dict[str, Any]]:
        """Every row of the source with what became of it: an answer, or an error.

        With ``wait`` each comes once it has ended, in order, and the last when the job is over;
        ``wait`` is called between two checks. Raises ``InvalidItem`` at the end for a source that
        has fewer rows than the job.
        """
        found = self._pages() if wait is None else self._ended(wait)
        answer = next(found, None)
        for row in self.source.rows():
            self.summary.rows += 1
            there = answer if answer is not None and answer.number == row.number else None
            yield {**self._of_source(row), **self._of_answer(row, there)}
            if there is not None:
                answer = next(found, None)
        if answer is not None:
            raise InvalidItem(
                f"{self.source.name} has only {self.summary.rows} of the rows that were submitted:"
                " submit it again, or say --source FILE of the whole one"
            )

    def _pages(self) -> Iterator[RowAnswer]:
        after = -1
        while True:
            with self._ledger.read() as connection:
                page = job_rows.answers(connection, self._job, after, _PAGE)
            yield from page
            if len(page) < _PAGE:
                return
            after = page[-1].number

    def _ended(self, wait: Callable[[], None]) -> Iterator[RowAnswer]:
        after = -1
        while True:
            with self._ledger.read() as connection:
                over = jobs.progress(connection, self._job).over
                page = job_rows.answers(connection, self._job, after, _PAGE)
            for row in page:
                if row.state not in ENDS:
                    break
                yield row
                after = row.number
            else:
                if len(page) == _PAGE:
                    continue
                if over:
                    return
            wait()

    def _of_source(self, row: SourceRow) -> dict[str, Any]:
        if not self._shape.keys:
            return row.columns
        return {name: row.columns[name] for name in self._given if name in row.columns}

    def _of_answer(self, row: SourceRow, answer: RowAnswer | None) -> dict[str, Any]:
        """The added cells of one row."""
        output, error = self._outcome(row, answer)
        if answer is not None:
            self.summary.reused += answers.is_reused(answer)
            self.summary.cost += answer.spent if answer.fingerprint is not None else 0
            self.summary.simulated |= answer.simulated
        said = answers.added(answer, output, error, self._shape)
        names = self._of_documents
        said |= {f"{self._shape.prefix}{name}": None for name in names}
        if names and output is not None and answer is not None:
            text = row.columns.get(self._column or self.source.text or "text") or ""
            said |= answers.about_document(names, answer, text, row.pages, self._shape)
        return said

    def _outcome(self, row: SourceRow, answer: RowAnswer | None) -> tuple[Any, str | None]:
        """The row's output, or why there is none; counted in the summary."""
        told = self.summary
        if answer is None:
            told.missing += 1
            return None, "not_submitted: it is no work item yet; submit the file again"
        content = answer.content
        if content and content != fingerprint.of_row(row.columns, self._column):
            told.changed += 1
            return None, "changed: it reads otherwise than when it was submitted; submit it again"
        state = answer.state
        if state not in ENDS:
            told.open += 1
        else:
            told.ended_at = max(told.ended_at, answer.ended_at or 0)
        if state is State.SUCCEEDED:
            told.succeeded += 1
            if answer.fingerprint is not None:
                if (who := answer.tier) in _BELOW:
                    told.below[who] = told.below.get(who, 0) + 1
                tokens = (answer.receipt or {}).get("tokens", {})
                told.tokens += sum(tokens.get(name) or 0 for name in ("input", "output"))
        elif state in ENDS:
            reason = answer.reason or state.value
            told.failed[reason] = told.failed.get(reason, 0) + 1
        return answers.outcome(answer)

    def _added(self) -> tuple[str, ...]:
        """The names of the added columns: those of answers as the answers have them."""
        fields: dict[str, None] = {}
        if self._shape.flat:
            after = -1
            while True:
                with self._ledger.read() as connection:
                    page = job_rows.outputs(connection, self._job, after, _PAGE)
                for _, output in page:
                    if output is not None:
                        fields.update(dict.fromkeys(answers.cells(output, self._shape)))
                if len(page) < _PAGE:
                    break
                after = page[-1][0]
        names = [*(fields or {answers.OUTPUT: None}), *self._of_documents, *answers.SAID]
        return tuple(f"{self._shape.prefix}{name}" for name in names)


def _source(path: Path, reading: Reading, job_id: str) -> Source:
    try:
        return open_source(path, reading)
    except InvalidItem as error:
        raise InvalidItem(
            f"job {job_id} gives its file back with the answers, and {error.message}: say --source"
            " FILE where it is now, or --without-source for the answers alone"
        ) from None


def every_result(ledger: Ledger, job_id: str) -> Iterator[Mapping[str, Any]]:
    """Every row of a job in file order, read a page at a time.

    The receipt of a row that has another row's item says so (``reused_from``), and costs nothing.
    """
    index = -1
    while True:
        with ledger.read() as connection:
            page = jobs.results(connection, job_id, index, _PAGE)
        yield from map(_given, page)
        if not page:
            return
        index = page[-1].job_index


_NOTHING = {
    "attempts": 0,
    "tokens": {"input": 0, "output": 0, "estimated": False},
    "cost": format_usd(NOTHING),
    "cost_nanousd": NOTHING,
    "seconds": 0.0,
}
"""What the receipt of a reused answer says of its own call."""


def _given(row: Result) -> Mapping[str, Any]:
    shown = {**row._asdict(), "state": row.state.value}
    del shown["shared"]
    if row.shared and row.receipt is not None:
        shown["receipt"] = {**row.receipt, **_NOTHING, "reused_from": row.id}
    return shown
