"""Jobs as records: a job, a row of its file with the item that answers it, and where that goes."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

from tierqueue.ledger.tables import items, job_rows, jobs, sink_rows
from tierqueue.router.lifecycle import State
from tierqueue.router.money import NanoUSD


class JobRecord(NamedTuple):
    """A file of work, in the table's order."""

    id: str
    """A UUID of version 7."""
    task: str
    """The name of its task type."""
    source: str
    """The file's name."""
    max_cost: NanoUSD | None
    """Nano-dollars, over all its items."""
    submitted_at: int
    """Epoch microseconds."""
    complete: bool
    """Whether every one of its ``total`` rows is an item."""
    total: int
    """Rows of the file; 0 while an older release has not counted them."""
    cancelled_at: int | None
    """Epoch microseconds."""
    run: str | None
    """A hash of what is asked of which file: jobs of one run share their items."""
    path: str | None
    """Where its file is."""
    reading: Mapping[str, Any] | None
    """How its file was read: the fields of ``Reading``, ``column`` and ``pieces``."""
    sample: Mapping[str, Any] | None
    """Until all its rows are submitted: what was ``asked`` of a sample, and whether it
    ``goes_on``."""

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Self:
        """The job of a row of ``JOB``."""
        return cls._make(row)

    @property
    def is_sample(self) -> bool:
        """Whether a sample of its rows was submitted, and nobody goes on with the others."""
        return self.sample is not None and not self.sample.get("goes_on")


class RowAnswer(NamedTuple):
    """A row of a job's file, and what the item that answers it has come to."""

    number: int
    """Which row, from 0."""
    content: str
    """A hash of what was read; empty once erased."""
    fingerprint: str | None
    """A hash of what was asked; ``None`` where the item is another row's, which paid for it."""
    id: str
    """The item's."""
    state: State
    """Where the item is."""
    reason: str | None
    """Why it waits or ended, as a code."""
    tier: str | None
    """Where it was routed to last, or who answered without a call."""
    output: Any
    """Its answer; ``None`` once erased."""
    receipt: Mapping[str, Any] | None
    """What the answer took and cost."""
    error: Mapping[str, Any] | None
    """What ended it: ``reason``, ``message``, ``fields``."""
    spent: NanoUSD
    """Nano-dollars, over all its attempts."""
    bound: NanoUSD | None
    """Nano-dollars that a call on its last route costs at most."""
    refused_by: Sequence[str] | None
    """Tiers whose answers were refused."""
    ended_at: int | None
    """Epoch microseconds."""
    erased_at: int | None
    """Epoch microseconds: when its payloads went."""
    simulated: bool = False
    """Whether some of its money or its answer is, where that was looked up."""

    @classmethod
    def from_row(cls, row: Sequence[Any], *, simulated: bool = False) -> Self:
        """The answer of a row of ``ROW_ANSWER``."""
        answer = cls._make((*row, simulated))
        return answer._replace(state=State(answer.state))

    def __repr__(self) -> str:
        """Its name alone: what was answered stands in no log."""
        return f"RowAnswer(number={self.number}, id={self.id!r}, state={self.state.value!r})"


class SinkRow(NamedTuple):
    """A row of a job that goes back into a table."""

    key: Any
    """Its place there."""
    turn: int
    """How often its item has gone on after an end: what was written before is old."""
    pages: Sequence[int] | None
    """Where the pages of its document begin, in characters; ``None`` where it is one page."""
    answer: RowAnswer
    """The row itself."""

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Self:
        """The row of a row of ``SINK_ROW``."""
        key, turn, pages, *answer = row
        return cls(key, turn, pages, RowAnswer.from_row(answer))

    def __repr__(self) -> str:
        """Its name alone: a key may be a customer's."""
        return f"SinkRow({self.answer!r})"


JOB = tuple(jobs.c[name] for name in JobRecord._fields)
"""The columns of a ``JobRecord``, in its order."""

ROW_ANSWER = (
    *(job_rows.c[name] for name in ("number", "content", "fingerprint")),
    *(items.c[name] for name in RowAnswer._fields[3:-1]),
)
"""The columns of a ``RowAnswer``, in its order."""

SINK_ROW = (*(sink_rows.c[name] for name in ("key", "turn", "pages")), *ROW_ANSWER)
"""The columns of a ``SinkRow``, in its order."""
