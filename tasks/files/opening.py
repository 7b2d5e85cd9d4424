"""A source by its name: which reader a file has."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from tierqueue.router.errors import InvalidItem
from tierqueue.router.policy.policy_errors import nearest
from tierqueue.tasks.files import json_lines, parquet, separated, workbook
from tierqueue.tasks.files.documents import images, places, rows
from tierqueue.tasks.files.source import Reading, Source
from tierqueue.tasks.files.spooled import query, standard_input

_READERS: Mapping[str, Callable[[Path, Reading], Source]] = {
    ".csv": separated.read,
    ".tsv": separated.read,
    ".jsonl": json_lines.read,
    ".ndjson": json_lines.read,
    ".parquet": parquet.read,
    **dict.fromkeys((".xlsx", ".xlsm", ".xls", ".xlsb", ".ods"), workbook.read),
    **dict.fromkeys(places.KINDS, rows.read),
}


_TAKEN: Mapping[str, tuple[str, ...]] = {
    "csv": ("encoding", "separator"),
    "jsonl": ("encoding",),
    "parquet": (),
    "xlsx": ("sheet",),
    "documents": ("by",),
    "database": ("query",),
}
"""Which options of ``Reading`` change how a kind of source is read."""


def all_taken(path: Path, source: Source, reading: Reading) -> None:
    """Raises ``InvalidItem`` for an option that does nothing for this source."""
    kind = source.format.kind if source.text is None else "documents"
    if reading.by == "image":
        kind = "documents"
    if str(path) != "-" and query.is_database(path):
        kind = "database"
    for name, value in asdict(reading).items():
        if value is not None and name not in _TAKEN[kind]:
            takes = " and ".join(f"--{option}" for option in _TAKEN[kind]) or "none of these"
            raise InvalidItem(
                f"--{name} does nothing for {source.name}, which takes {takes}: leave it out"
            )


def open_source(path: Path, reading: Reading | None = None) -> Source:
    """A file of work, a folder or a pattern of documents, ``-`` for standard input, or the query of
    a database ``env:NAME``; read once from end to end.

    Raises ``InvalidItem`` for what is wrong with the whole file; what is wrong with one row is that
    row's own affair.
    """
    if str(path) == "-":
        return standard_input.read(reading or Reading())
    if query.is_database(path):
        return query.read(path, reading or Reading())
    if reading is not None and reading.query is not None:
        raise InvalidItem(f"{path} is a file: --query asks a database, env:NAME")
    reader = _READERS.get(path.suffix.lower())
    if places.is_pattern(path) or path.is_dir():
        if reading is not None and reading.by == "image":
            return images.read(path)
        return rows.read(path, reading or Reading())
    if reader is None:
        raise InvalidItem(
            f"{path}: a job is a folder or a file {', '.join(_READERS)}"
            + nearest(path.suffix, _READERS)
        )
    if not path.is_file():
        raise InvalidItem(
            f"{path} is not {'a regular' if path.exists() else 'there: no such'} file"
        )
    try:
        return reader(path, reading or Reading())
    except OSError as error:
        raise InvalidItem(f"cannot read {path}: {error.strerror}") from None
