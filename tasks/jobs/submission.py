"""Jobs: a file's rows become items of one task type, committed in batches as the file is read."""

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tierqueue.ledger.lifecycle.items import Death, NewItem, new_id
from tierqueue.ledger.operations import job_rows, jobs
from tierqueue.ledger.results import sinks
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.router.errors import InvalidItem
from tierqueue.router.item import Tier
from tierqueue.router.policy.policy_errors import nearest
from tierqueue.tasks.files.documents.places import is_pattern
from tierqueue.tasks.files.opening import all_taken, open_source
from tierqueue.tasks.files.plain import is_json, plain_value
from tierqueue.tasks.files.source import Reading, Source, SourceRow, without
from tierqueue.tasks.files.spooled.query import is_database
from tierqueue.tasks.jobs import sampling
from tierqueue.tasks.jobs.argument_text import cell_value, image_file
from tierqueue.tasks.jobs.committing import NewRow, RowChanged, RowCommitter, unusable
from tierqueue.tasks.jobs.export.into_table import IntoTable, key_of
from tierqueue.tasks.jobs.sampling import Layer
from tierqueue.tasks.submission import fingerprint
from tierqueue.tasks.submission.demands import NAMES
from tierqueue.tasks.submission.image import is_image
from tierqueue.tasks.submission.item_task import ItemTask
from tierqueue.tasks.submission.pieces import Pieces
from tierqueue.tasks.submission.prompt import under

BATCH = 500
"""Rows in one transaction: few enough that other writers get their turn in between."""

MOST_CARRIED = 32 << 20
"""Bytes of images in one transaction."""

_READINGS = 5
"""How often a file may change while it is read."""

Progress = Callable[[int, int], None]
"""Told after each batch: rows committed so far, and rows of the file."""


@dataclass(frozen=True, slots=True)
class SubmittedJob:
    """A job that was handed over: every one of its ``total`` rows has an item.

    ``new``: items that were made for it, of which ``malformed`` are dead from the start;
    ``reused``: rows that another row's item answers. ``resumed``: an earlier call had begun it.
    """

    id: str
    total: int
    new: int
    malformed: int
    reused: int
    resumed: bool


class Submission:
    """A checked file and what its rows become; ``submit`` commits them.

    ``fixed``: arguments and demands that every row has. ``column``: the one column that is read,
    as the task's first argument; without it each column is an argument or a demand by its name,
    but for those ``unread``. ``pinned``: the one tier that is asked, for an evaluation. ``pieces``:
    how a row is done whose text is longer than a piece; without them it is asked whole.
    Raises ``InvalidItem`` for what is wrong with the whole file; nothing is committed by then.
    """

    def __init__(
        self,
        task: ItemTask,
        path: Path,
        fixed: Mapping[str, Any],
        *,
        column: str | None = None,
        reading: Reading | None = None,
        unread: Collection[str] = (),
        pinned: Tier | None = None,
        pieces: Pieces | None = None,
    ) -> None:
        self._task = task
        self._fixed = dict(fixed)
        self._fields = task.arguments_model.model_fields
        self._first = next(iter(self._fields))
        self.path = path
        self._reading = reading or Reading()
        if is_image(self._fields[self._first]) and (path.is_dir() or is_pattern(path)):
            self._reading = replace(self._reading, by="image")
        self._pinned = pinned
        self._key: str | None = None
        if pieces is not None:
            pieces.check(task.name)
        self._pieces = pieces
        self.fresh = False
        """Whether no earlier answer may be taken for its rows, as one may where the policy says."""
        self.system: str | None = None
        """The instruction that its rows are asked under, where not the task type's own."""
        self._unread = unread
        self.file: Source = self._opened()
        all_taken(path, self.file, self._reading)
        self._column = column = column or self.file.text
        if column is not None and self._first in self._fixed:
            raise InvalidItem(f"{self._first} is set for all rows and also column {column!r}")
        sample = next((row for row in self.file.rows() if row.wrong is None), None)
        self._check_columns(self.file.columns)
        if sample is not None:
            self._check_fixed(sample)

    def _opened(self) -> Source:
        return without(open_source(self.path, self._reading), self._unread)

    def submit(
        self,
        ledger: Ledger,
        wake: Callable[[], None],
        *,
        max_cost: int | None,
        progress: Progress,
        retry_failed: bool = False,
        anew: bool = False,
        sample: Sequence[Layer] = (),
        into: IntoTable | None = None,
        by: str = "python",
        begun: Callable[[str], None] = lambda _: None,
    ) -> SubmittedJob:
        """Commit the job, its ceiling (``max_cost``, nano-dollars) and every row, in batches.

        A submission of the same that was not brought to its end goes on. A row that asks what
        another one of this job or of an earlier one asked has its item, one that failed only within
        the job where ``retry_failed``, and never where ``anew``. Each batch is followed by a wake,
        so that work starts before the file is read. A malformed row is an item that is dead from
        the start, ``invalid``, so that the counts add up. Of a ``sample`` its rows alone are
        committed, and the job stays open for the others. ``begun`` is told the job's id before any
        row is committed. ``into``: where the job's rows go back as they end, by the word of ``by``;
        one that goes on keeps its own. Raises ``Cancelled`` when the job is cancelled before the
        file was read to its end.
        """
        if into is not None:
            into.check(self.file)
        asked = {"fixed": self._fixed, "anew": anew, "retry_failed": retry_failed}
        self.fresh = self.fresh or anew
        layers = [layer.to_json() for layer in sample]
        only = frozenset(number for layer in sample for number in layer.numbers)
        if sample and not is_json(asked):
            raise InvalidItem(
                "what all rows of a sample are asked must be JSON: write times as text; an image"
                " is a column of its rows"
            )
        run = self.run(anew=anew)
        for _ in range(_READINGS):
            with ledger.write() as connection:
                job_id, resumed = job_rows.begin(
                    connection,
                    run=run,
                    task=self._task.name,
                    source=_readable(self.file.name),
                    total=self.file.total,
                    max_cost=max_cost,
                    now=database_now(connection),
                    path=self._place(),
                    reading=self._how(),
                    sample={"layers": layers, "asked": asked} if sample else None,
                )
                if into is not None:
                    sinks.put(connection, job_id, into.stated(), by)
                sink = sinks.get(connection, job_id)
            self._key = None if sink is None else sink.key
            begun(job_id)
            reuse = None if anew else run
            committing = RowCommitter(
                ledger, job_id, run=reuse, failed_too=not retry_failed, goes_back=sink is not None
            )
            try:
                self._add(committing, job_id, wake, progress, only)
            except RowChanged:
                with ledger.write() as connection:
                    job_rows.close(connection, job_id)
                self.file = self._opened()
                continue
            if not sample:
                with ledger.write() as connection:
                    jobs.complete(connection, job_id, self.file.total)
            counts = committing.counts
            return SubmittedJob(
                *(job_id, self.file.total, counts.paid, counts.malformed, counts.reused, resumed)
            )
        raise InvalidItem(
            f"{self.path} changes again and again while it is read: submit a copy of it"
        )

    def run(self, *, anew: bool = False) -> str:
        """The run of which it is a job: they ask the same of the same file, and share answers."""
        part: tuple[str | None, ...] = (
            *(self._reading.sheet, self._reading.by, self._reading.query),
            *filter(None, (self._pinned, self.system)),
            *(() if self._pieces is None else (json.dumps(self._pieces.to_json()),)),
        )
        of = self._task, self._place(), self._column, self._fixed
        return fingerprint.of_run(*of, anew=anew, part=part)

    def _place(self) -> str:
        # A database is where its variable says, whatever folder this is.
        return _readable(str(self.path if is_database(self.path) else self.path.resolve()))

    def _how(self) -> dict[str, Any]:
        """How its file is read, as the job remembers it."""
        how = {**asdict(self._reading), "column": self._column}
        return how if self._pieces is None else {**how, "pieces": self._pieces.to_json()}

    def draw(self, size: int, by: str | None) -> tuple[Layer, ...]:
        """A sample of about ``size`` rows, of every length and value of the column ``by``.

        Raises ``InvalidItem`` for a column that is not there.
        """
        if by is not None and by not in self.file.columns:
            near = nearest(by, self.file.columns)
            raise InvalidItem(f"--sample-by {by}: {self.path} has no such column{near}")
        return sampling.draw(self.file.rows(), size, only=self._column, by=by)

    def drawn(self, layers: Sequence[Layer]) -> Iterator[NewItem]:
        """What the rows of a sample become, but for those that are malformed."""
        only = {number for layer in layers for number in layer.numbers}
        for row in self.file.rows():
            if row.number in only and (made := self._made(row, None)).death is None:
                yield made.new

    def _add(
        self,
        committing: RowCommitter,
        job_id: str,
        wake: Callable[[], None],
        progress: Progress,
        only: frozenset[int],
    ) -> None:
        committed = 0
        rows = (row for row in self.file.rows() if not only or row.number in only)
        for batch in _batches(self._made(row, job_id) for row in rows):
            committing.add(batch)
            committed += len(batch)
            wake()
            progress(committed, len(only) or self.file.total)
        if not only and committed != self.file.total:
            raise RowChanged  # it grew or lost rows since they were counted
        committing.ends_at(self.file.total)

    def made(self) -> Iterator[tuple[NewItem, Death | None]]:
        """What every row becomes, in the file's order: an item, dead from the start where the row
        is malformed. Commits nothing.
        """
        for row in self.file.rows():
            made = self._made(row, None)
            yield made.new, made.death

    def _made(self, row: SourceRow, job_id: str | None) -> NewRow:
        item_id = new_id()
        content = fingerprint.of_row(row.columns, self._column)
        key = None if self._key is None else key_of(row, self._key)
        wrong = row.wrong
        if wrong is None and self._key is not None and key is None:
            wrong = f"it has no {self._key}, by which it goes back"
        if wrong is None:
            try:
                new = self._checked(row.columns, item_id, job_id=job_id, job_index=row.number)
            except InvalidItem as error:
                wrong = error.message
            else:
                if self.system is not None:
                    new = replace(new, **under(self.system, new.prompt_bytes))
                if self._pieces is not None:
                    new = replace(new, split=self._pieces.of(new.arguments))
                own = fingerprint.of_item(self._task, new)
                return NewRow(new, None, content, own, key, row.pages)
        empty = NewItem(
            id=item_id,
            task=self._task.name,
            arguments={"row": {name: plain_value(value) for name, value in row.columns.items()}},
            fingerprint="",
            prefix="",
            prompt_bytes=0,
            messages=0,
            output_limit=0,
            job_id=job_id,
            job_index=row.number,
        )
        made = unusable(empty, content, f"{row.place}: {wrong}", {"place": row.place})
        # Each names its own place, so that one at another place has an item of its own.
        own = fingerprint.of_row({"content": content, "place": row.place}, None)
        return replace(made, key=key, fingerprint=own)

    def _checked(self, values: Mapping[str, Any], item_id: str, **row: Any) -> NewItem:
        row.update(pinned=self._pinned, fresh=self.fresh)
        try:
            return self._task.new_item((), self._call(values), item_id=item_id, **row)
        except InvalidItem:
            raise
        except Exception as error:  # noqa: BLE001  # the task type's own code: it would fail again
            raise InvalidItem(f"its prompt raised {type(error).__name__}") from None

    def _call(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The keyword arguments of one row's call."""
        if self._column is not None:
            if self._column not in values:
                raise InvalidItem(f"it has no {self._column!r}")
            return {self._first: self._read(self._first, values[self._column]), **self._fixed}
        if "idempotency_key" in values:
            raise InvalidItem("a job's rows have no idempotency_key")
        # An empty cell says nothing: the argument's default or no demand.
        cells = self.file.format.cells
        said = {
            name: self._read(name, value)
            for name, value in values.items()
            if not (cells and value in ("", None))
        }
        return {**said, **self._fixed}

    def _read(self, name: str, value: Any) -> Any:
        """One value of a row as the argument or the demand ``name``."""
        field = self._fields.get(name)
        if field is not None and is_image(field):
            return image_file(self.path, value)
        if not self.file.format.cells:
            return value
        try:
            return cell_value(dict if field is None and name == "metadata" else field, value)
        except InvalidItem as error:
            raise InvalidItem(f"{name}: {error.message}") from None

    def _check_columns(self, columns: tuple[str, ...]) -> None:
        there = f"{self.path} has {', '.join(columns)}"
        if self._column is not None:
            if self._column not in columns:
                near = nearest(self._column, columns)
                raise InvalidItem(f"there is no column {self._column!r}: {there}{near}")
            has = {self._first}
        else:
            has = set(columns)
            unknown = [name for name in columns if name not in self._fields and name not in NAMES]
            if unknown:
                raise InvalidItem(
                    f"{self._task.name} knows no {', '.join(map(repr, unknown))}: {there};"
                    f" read one column alone with --column NAME, as {self._first!r}"
                    f"{nearest(unknown[0], [*self._fields, *NAMES])}"
                )
            twice = sorted(has & self._fixed.keys())
            if twice:
                raise InvalidItem(f"{', '.join(twice)} is set for all rows and also a column")
            if "idempotency_key" in has:
                raise InvalidItem("a job's rows have no idempotency_key: leave that column out")
        has |= self._fixed.keys()
        missing = [
            name for name, field in self._fields.items() if field.is_required() and name not in has
        ]
        if missing:
            raise InvalidItem(
                f"{self._task.name} needs {', '.join(missing)}: a column of that name, or"
                f" --set {missing[0]}=VALUE for all rows; {there}"
            )

    def _check_fixed(self, sample: SourceRow) -> None:
        """What is wrong with every row is wrong with the job."""
        try:
            self._checked(sample.columns, new_id())
        except InvalidItem as error:
            problems = error.fields.get("problems", ())
            if any(str(problem).split(":")[0].split(".")[0] in self._fixed for problem in problems):
                raise


def _batches(made: Iterator[NewRow]) -> Iterator[list[NewRow]]:
    """Rows in batches, of which each carries no more bytes than are well in memory."""
    batch: list[NewRow] = []
    size = 0
    for row in made:
        carried = sum(len(content.body or b"") for content in row.new.contents)
        if batch and (len(batch) == BATCH or size + carried > MOST_CARRIED):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += carried
    if batch:
        yield batch


def _readable(name: str) -> str:
    """A file's name as text, whatever its bytes are."""
    return os.fsencode(name).decode("utf-8", "replace")
