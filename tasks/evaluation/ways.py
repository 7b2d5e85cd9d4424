"""One way of asking, measured on a labelled set: right, paid, timed."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import quantiles

from tierqueue.ledger.evaluation import calls
from tierqueue.ledger.evaluation.calls import RecordedCall
from tierqueue.ledger.job_records import RowAnswer
from tierqueue.ledger.operations import job_rows
from tierqueue.ledger.session import Ledger
from tierqueue.router.learned.certify import Interval, share_of
from tierqueue.router.lifecycle import State
from tierqueue.tasks.evaluation.labelled_set import LabelledSet

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one row: ``cost`` in nano-dollars and ``tokens`` over all its calls, ``seconds``
    of its calls alone. A row that another one's item answers costs nothing more.

    ``failed``: why it has no answer; ``climbed``: more than one tier was asked.
    """

    item: str
    right: bool
    failed: str | None
    cost: int
    tokens: int
    seconds: float
    climbed: bool
    simulated: bool


@dataclass(slots=True)
class Way:
    """A way of asking, its job, and its rows by their number; money in nano-dollars."""

    name: str
    job: str
    rows: dict[int, Row] = field(default_factory=dict)

    @property
    def right(self) -> Interval:
        """How many rows were answered rightly; what failed is wrong."""
        return share_of(sum(row.right for row in self.rows.values()), len(self.rows))

    @property
    def accepted(self) -> int:
        """How many rows have an answer, right or wrong."""
        return sum(row.failed is None for row in self.rows.values())

    @property
    def cost(self) -> int:
        return sum(row.cost for row in self.rows.values())

    @property
    def tokens(self) -> float | None:
        """Tokens that were taken for an accepted answer; ``None`` without any."""
        whole = sum(row.tokens for row in self.rows.values())
        return whole / self.accepted if self.accepted else None

    @property
    def escalated(self) -> float:
        """The share of rows for which more than one tier was asked."""
        return sum(row.climbed for row in self.rows.values()) / max(1, len(self.rows))

    @property
    def failed(self) -> dict[str, int]:
        """Rows without an answer, by reason."""
        return dict(Counter(row.failed for row in self.rows.values() if row.failed is not None))

    @property
    def simulated(self) -> bool:
        """Whether answers of it were made up by a stand-in."""
        return any(row.simulated for row in self.rows.values())

    def seconds(self) -> tuple[float, float] | None:
        """How long the calls of an answered row took: the median, and what 19 of 20 stayed under;
        ``None`` where nothing was answered.
        """
        taken = sorted(row.seconds for row in self.rows.values() if row.failed is None)
        if not taken:
            return None
        if len(taken) == 1:
            return taken[0], taken[0]
        cuts = quantiles(taken, n=20, method="inclusive")
        return cuts[9], cuts[18]


def measured(ledger: Ledger, labelled: LabelledSet, name: str, job_id: str) -> Way:
    """What a job of the set has come to; rows that were malformed in the file are left out."""
    way, paid = Way(name, job_id), set[str]()
    for page in _pages(ledger, job_id):
        with ledger.read() as connection:
            made = calls.by_item(connection, [row.id for row in page])
        for row in page:
            number = row.number
            if number not in labelled.truths:
                continue
            again = row.id in paid
            paid.add(row.id)
            way.rows[number] = _row(labelled, row, made.get(row.id, []), again=again)
    return way


def _row(
    labelled: LabelledSet, row: RowAnswer, made: Sequence[RecordedCall], *, again: bool
) -> Row:
    answered = row.state == State.SUCCEEDED
    return Row(
        item=row.id,
        right=answered and labelled.is_right(row.number, row.output),
        failed=None if answered else row.reason or row.state,
        cost=0 if again else row.spent,
        tokens=0 if again else sum(call.tokens for call in made),
        seconds=sum(call.seconds for call in made),
        climbed=len({call.tier for call in made}) > 1,
        simulated=any(call.simulated for call in made),
    )


def _pages(ledger: Ledger, job_id: str) -> Iterator[Sequence[RowAnswer]]:
    after = -1
    while True:
        with ledger.read() as connection:
            page = job_rows.answers(connection, job_id, after, _PAGE)
        if not page:
            return
        yield page
        after = page[-1].number
