"""A source of rows in any format: a reader yields it, jobs and writers take it."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row: its ``number`` from 0, its values by column, and its ``place`` ("line 3").

    ``wrong`` says why it can be no item; ``columns`` then hold what could be read of it. ``pages``:
    with which character of its text each page of a document begins.
    """

    number: int
    columns: dict[str, Any]
    place: str
    wrong: str | None = None
    pages: tuple[int, ...] = (0,)


@dataclass(frozen=True, slots=True)
class Reading:
    """How a source is to be read where its bytes do not say; ``None`` is found out and told."""

    encoding: str | None = None
    separator: str | None = None
    sheet: str | None = None
    by: Literal["document", "page", "chunk", "image"] | None = None
    query: str | None = None


@dataclass(frozen=True, slots=True)
class Format:
    """What a writer needs to give rows back as they came.

    ``kind`` is ``csv``, ``jsonl``, ``parquet`` or ``xlsx``; the others matter where the kind has
    them. ``header`` holds the names as the file has them, which may be empty where columns are
    not; ``schema`` the types of a Parquet file.
    """

    kind: str
    encoding: str = "utf-8"
    separator: str = ","
    line_end: str = "\n"
    header: tuple[str, ...] = ()
    sheet: str | None = None
    schema: Any = field(default=None, compare=False, repr=False)

    @property
    def cells(self) -> bool:
        """Whether values are cells: an empty one says nothing, and a text may be a list."""
        return self.kind != "jsonl"


@dataclass(frozen=True, slots=True)
class Source:
    """A source that was read once from end to end: how many rows it has, and their columns.

    ``columns`` of JSON lines are those of the first row. ``notes`` say what was found out and not
    stated, such as an encoding. ``rows`` reads every row anew, in order. ``text`` is the column
    that is the task's first argument unless another is named.
    """

    name: str
    format: Format
    columns: tuple[str, ...]
    total: int
    rows: Callable[[], Iterator[SourceRow]]
    notes: tuple[str, ...] = ()
    text: str | None = None


def without(source: Source, unread: Collection[str]) -> Source:
    """The same source with these columns left out, as if it did not have them."""
    if not unread:
        return source

    def rows() -> Iterator[SourceRow]:
        for row in source.rows():
            kept = {name: value for name, value in row.columns.items() if name not in unread}
            yield replace(row, columns=kept)

    columns = tuple(name for name in source.columns if name not in unread)
    return replace(source, columns=columns, rows=rows)
