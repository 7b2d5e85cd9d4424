"""The result of a long document, from its items: one answer, one receipt, one end."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tierqueue.router.errors import TierqueueError
from tierqueue.router.lifecycle import ENDS, State
from tierqueue.tasks.answers.quotations import place
from tierqueue.tasks.files.documents.document import BETWEEN
from tierqueue.tasks.kinds.ask import Answered
from tierqueue.tasks.kinds.summarize import Summary
from tierqueue.tasks.results.async_answer import ItemResult

if TYPE_CHECKING:
    from tierqueue.ledger.results.item_spending import ItemSpending

Out = TypeVar("Out")


@dataclass(frozen=True, slots=True)
class Citation:
    """What an answer quotes, and where it stands: its page from 1, and characters of that page."""

    quotation: str
    page: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class MissingPart:
    """A part of a document that no answer speaks of: from ``start`` of ``page`` to ``end`` of
    ``last_page``, pages from 1, characters of each. ``reason``: why its item has no answer.
    """

    page: int
    start: int
    last_page: int
    end: int
    item: str
    reason: str


@dataclass(frozen=True, slots=True)
class CitedAnswer:
    """An answer and what it rests on; ``None``: the document does not say, or not where it was
    read: all but what is ``missing``.
    """

    answer: str | None
    citations: tuple[Citation, ...]
    missing: tuple[MissingPart, ...] = ()


@dataclass(frozen=True, slots=True)
class DocumentSummary:
    """A summary of all but what is ``missing``."""

    summary: str
    missing: tuple[MissingPart, ...] = ()


@dataclass(frozen=True, slots=True)
class MergedFields:
    """Fields of all pieces together: the value that most of them have, the first where they tie.

    ``conflicts``: every value of the fields of which pieces say different things. ``missing``:
    what was not read.
    """

    values: Mapping[str, Any]
    conflicts: Mapping[str, tuple[Any, ...]]
    missing: tuple[MissingPart, ...] = ()


@dataclass(frozen=True, slots=True)
class DocumentSpending:
    """What the items of a document have come to so far, all attempts of each; ``cost`` is in
    nano-dollars.

    ``input_tokens`` and ``output_tokens`` are of the accepted calls. ``missing``: the pieces whose
    item, or what was to join it, ended without an answer.
    """

    items: int
    calls: int
    cost: int
    input_tokens: int
    output_tokens: int
    missing: tuple[MissingPart, ...] = ()


Reader = Callable[[list[Any], tuple[MissingPart, ...]], Out]
"""What the last answers are to the caller, and what they do not speak of."""


@dataclass(frozen=True, slots=True)
class DocumentPieces:
    """The pages of a document, where in them each of its pieces begins and ends, and the pieces,
    from one to before another, whose answers each item that joins has.
    """

    pages: Sequence[str]
    spans: Sequence[tuple[int, int]]
    joined: Sequence[tuple[int, int]]

    def missing(self, piece: int, item: str, reason: str) -> MissingPart:
        """The piece of this number, from 0, as one that has no answer."""
        start, end = self.spans[piece]
        page, first = place_in(self.pages, start)
        last_page, last = place_in(self.pages, end - 1)
        ends = min(last + 1, len(self.pages[last_page - 1]))
        return MissingPart(page, first, last_page, ends, item, reason)


class DocumentResult(Generic[Out]):
    """What a document's items will come to. ``items``: those of its pieces, then what joins.

    With ``partial`` there is an answer without the pieces that failed, which says which these are.
    ``why`` says why it is done whole or in pieces, where that was a choice.
    """

    def __init__(
        self,
        items: Sequence[ItemResult[Any]],
        last: Sequence[ItemResult[Any]],
        pieces: DocumentPieces,
        read: Reader[Out],
        *,
        partial: bool = False,
        why: str = "",
    ) -> None:
        self.items = tuple(items)
        self.why = why
        self._last = tuple(last)
        self._pieces = pieces
        self._read = read
        self._partial = partial

    def get(self, timeout: float | None = None) -> Out:
        """Wait for the answer, ``timeout`` seconds at the most.

        One piece that ends without an answer ends the document without one, unless it may be
        partial: raises what ended it, or Celery's ``ChordError``, which names it.
        """
        until = None if timeout is None else time.monotonic() + timeout
        found: list[Any] = []
        trouble: TierqueueError | None = None
        for item in self._last:
            left = None if until is None else max(until - time.monotonic(), 0.001)
            try:
                found.append(item.get(left).output)
            except TierqueueError as error:
                if not self._partial:
                    raise
                trouble = trouble or error
        if trouble is not None and not found:
            raise trouble
        return self._read(found, self._missing(self._spent()) if self._partial else ())

    def paid(self) -> DocumentSpending:
        """The receipts of all items together, as they are now."""
        spent = self._spent()
        return DocumentSpending(
            items=len(spent),
            calls=sum(one.calls for one in spent.values()),
            cost=sum(one.cost for one in spent.values()),
            input_tokens=sum(one.input_tokens for one in spent.values()),
            output_tokens=sum(one.output_tokens for one in spent.values()),
            missing=self._missing(spent),
        )

    def revoke(self) -> None:
        """Cancel what has not ended of it."""
        self.items[0].app.control.revoke([item.id for item in self.items])

    def _spent(self) -> "Mapping[str, ItemSpending]":
        from tierqueue.ledger.results.item_spending import spent

        with self.items[0].app.installation.ledger.read() as connection:
            return spent(connection, [item.id for item in self.items])

    def _missing(self, spent: "Mapping[str, ItemSpending]") -> tuple[MissingPart, ...]:
        found: dict[int, MissingPart] = {}
        own = [(at, at + 1) for at in range(len(self._pieces.spans))]
        for item, (begin, end) in zip(self.items, [*own, *self._pieces.joined], strict=True):
            one = spent.get(item.id)
            if one is None or one.state not in ENDS or one.state is State.SUCCEEDED:
                continue
            for piece in range(begin, end):
                reason = one.reason or one.state.value
                found.setdefault(piece, self._pieces.missing(piece, one.item, reason))
        return tuple(found[piece] for piece in sorted(found))


def cited(
    pages: Sequence[str], found: Sequence[Answered], missing: tuple[MissingPart, ...]
) -> CitedAnswer:
    """The last answer, whose quotations stand in ``pages``, with the place of each."""
    answer = found[0]
    return CitedAnswer(
        answer.answer, tuple(_citation(pages, said) for said in answer.quotations), missing
    )


def summarized(found: Sequence[Summary], missing: tuple[MissingPart, ...]) -> DocumentSummary:
    """The last summary."""
    return DocumentSummary(found[0].summary, missing)


def merged(found: Sequence[Mapping[str, Any]], missing: tuple[MissingPart, ...]) -> MergedFields:
    """Fields of several pieces as one; a field that no piece fills is ``None``."""
    values: dict[str, Any] = {}
    conflicts: dict[str, tuple[Any, ...]] = {}
    for name in found[0]:
        said = Counter(one[name] for one in found if one[name] is not None)
        values[name] = said.most_common(1)[0][0] if said else None
        if len(said) > 1:
            conflicts[name] = tuple(said)
    return MergedFields(values, conflicts, missing)


def place_in(pages: Sequence[str], at: int) -> tuple[int, int]:
    """The page, from 1, and the character of it that a character of all pages together is."""
    starts = list(accumulate((len(page) + len(BETWEEN) for page in pages[:-1]), initial=0))
    page = max(number for number, start in enumerate(starts) if start <= at)
    return page + 1, at - starts[page]


def _citation(pages: Sequence[str], quotation: str) -> Citation:
    found = place(BETWEEN.join(pages), quotation)
    if found is None:
        raise AssertionError("each quotation was looked up in a piece of the document")
    page, start = place_in(pages, found[0])
    return Citation(quotation, page, start, start + found[1] - found[0])
