"""Documents longer than a context window: items for the pieces, and items that join their answers.

Each is an item like any other, with its own hold and receipt. What joins waits in the ledger as the
body of a chord, so that no process has to stay for it.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, Unpack

from celery import chord

from tierqueue.ledger.lifecycle.items import new_id
from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.files.documents import places
from tierqueue.tasks.files.documents.chunks import CHARACTERS, chunked
from tierqueue.tasks.files.documents.document import BETWEEN
from tierqueue.tasks.kinds.ask import ask
from tierqueue.tasks.kinds.document_result import (
    CitedAnswer,
    DocumentPieces,
    DocumentResult,
    DocumentSummary,
    MergedFields,
    Reader,
    cited,
    merged,
    summarized,
)
from tierqueue.tasks.kinds.extract import FieldType, extract
from tierqueue.tasks.kinds.in_pieces import (
    JOINED_BY,
    begun_whole,
    both_ways,
    dated,
    grouped,
    joins,
    shared,
    whole_key,
)
from tierqueue.tasks.kinds.summarize import summarize
from tierqueue.tasks.results.async_answer import ItemResult
from tierqueue.tasks.results.fulfil import PARTIAL
from tierqueue.tasks.submission.demands import Demands
from tierqueue.tasks.submission.item_task import ItemTask
from tierqueue.tasks.submission.pieces import OnFailure, Split
from tierqueue.tasks.submission.pieces import Pieces as PieceSize

Document = str | Path | Sequence[str]
"""A text, a file that holds one document, or the texts of its pages."""

Out = TypeVar("Out")


def ask_document(
    document: Document,
    question: str,
    *,
    characters: int = CHARACTERS,
    split: Split = "cheaper",
    on_failure: OnFailure = "fail",
    **demands: Unpack[Demands],
) -> DocumentResult[CitedAnswer]:
    """Ask ``question`` of each piece of at most ``characters``, and join the answers.

    Where one call of the whole costs no more by the policy of this process, the document is one
    item; ``split="always"`` leaves that out. ``why`` of the result says what was compared.
    What is quoted stands in the document, and ``citations`` say where. ``max_cost`` is shared by
    all items, ``deadline`` is one moment for all of them, and of an ``idempotency_key`` each has
    its own: the same call again, after a kill in the middle of it, pays nothing twice. A piece
    that ends without an answer ends the document without one; ``on_failure="partial"`` gives an
    answer all the same, which says what is ``missing``, unless all that one item was to join has
    failed. Raises ``InvalidItem`` for bad input, by then with nothing committed.
    """
    pages = _pages(document)
    told, read = {"question": question}, partial(cited, pages)
    return _submitted(pages, (characters, split, on_failure), ask, told, demands, read)


def summarize_document(
    document: Document,
    *,
    max_words: int = 100,
    question: str = "",
    characters: int = CHARACTERS,
    split: Split = "cheaper",
    on_failure: OnFailure = "fail",
    **demands: Unpack[Demands],
) -> DocumentResult[DocumentSummary]:
    """Summarize each piece of ``characters``, and the summaries; else as ``ask_document``."""
    own = {"max_words": max_words, "question": question}
    pages = _pages(document)
    how = (characters, split, on_failure)
    return _submitted(pages, how, summarize, own, demands, summarized)


def extract_document(
    document: Document,
    fields: Mapping[str, FieldType],
    *,
    instructions: str = "",
    characters: int = CHARACTERS,
    split: Split = "cheaper",
    on_failure: OnFailure = "fail",
    **demands: Unpack[Demands],
) -> DocumentResult[MergedFields]:
    """Fill ``fields`` from each piece of at most ``characters``; else as ``ask_document``.

    They are merged where they are read, by no model.
    """
    own = {"fields": dict(fields), "instructions": instructions}
    pages = _pages(document)
    return _submitted(pages, (characters, split, on_failure), extract, own, demands, merged)


def _pages(document: Document) -> list[str]:
    if isinstance(document, Path):
        found = list(places.documents(document))
        if len(found) != 1:
            raise InvalidItem(f"{document} holds {len(found)} documents: submit each by itself")
        pages = [page() for page in found[0].pages()]
    else:
        pages = [document] if isinstance(document, str) else list(document)
    if not any(page.strip() for page in pages):
        raise InvalidItem("the document has no text")
    return pages


def _submitted(
    pages: Sequence[str],
    how: tuple[int, Split, OnFailure],
    part: ItemTask[..., Any],
    own: Mapping[str, Any],
    demands: Mapping[str, Any],
    read: Reader[Out],
) -> DocumentResult[Out]:
    """Commit the items of a document's pieces and what joins them, or the one of the whole."""
    characters, split, on_failure = how
    PieceSize(characters, split, on_failure)
    join, document = JOINED_BY[part.name], BETWEEN.join(pages)
    chunks = {start: text for start, text in chunked(document, characters) if text.strip()}
    demands = dated(part, demands)
    key: str | None = demands.get("idempotency_key")
    whole, why = False, ""
    if split == "cheaper" and len(chunks) > 1:
        compared = both_ways(part, document, list(chunks.values()), own, demands)
        if compared is not None:
            whole, why = not compared.split, compared.why
        begun = None if key is None else begun_whole(part, key, demands)
        if begun not in (None, whole):
            whole, why = not whole, "as the same call was begun before"
    if whole:
        chunks = {0: document}
    pieces = list(chunks.values())
    told = {**own, **shared(part, demands, len(pieces) + (joins(len(pieces)) if join else 0))}
    told.pop("idempotency_key", None)
    if key is not None and whole:
        key = whole_key(key)
    items: list[ItemResult[Any]] = []

    def signature(task: ItemTask[..., Any], **piece: str) -> Any:
        keyed = {} if key is None else {"idempotency_key": f"{key}/{len(items)}"}
        items.append(task.AsyncResult(new_id()))
        kept = {PARTIAL: True} if on_failure == "partial" and not piece else {}
        return task.s(**piece, **told, **keyed).set(task_id=items[-1].id, **kept)

    level = [(signature(part, text=piece), at, at + 1) for at, piece in enumerate(pieces)]
    for piece in pieces:
        part.checked_arguments((), {"text": piece, **told})
    joined: list[tuple[int, int]] = []
    while join is not None and len(level) > 1:
        groups, level = grouped(level), []
        for group in groups:
            (first, begin, end), *others = group
            if others:
                end = others[-1][2]
                joined.append((begin, end))
                first = chord([called for called, _, _ in group], signature(join))
            level.append((first, begin, end))
    for called, _, _ in level:
        called.apply_async()
    spans = [(start, start + len(text)) for start, text in chunks.items()]
    last = items[-len(level) :]
    places = DocumentPieces(pages, spans, joined)
    return DocumentResult(items, last, places, read, partial=on_failure == "partial", why=why)
