"""Files of results: where they are written, and answers without their source, a line each."""

import csv
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tierqueue.operations.cli.output.escapes import json_line
from tierqueue.router.errors import InvalidItem

_COLUMNS = {
    "index": "job_index",
    "item": "id",
    "state": "state",
    "output": "output",
    "receipt": "receipt",
    "error": "error",
}
"""What a line says, and the item's column that says it."""

Write = Callable[[Mapping[str, Any]], None]


def _json_lines(file: IO[str]) -> Write:
    def write(row: Mapping[str, Any]) -> None:
        file.write(json_line({name: row[column] for name, column in _COLUMNS.items()}) + "\n")

    return write


def _csv(file: IO[str]) -> Write:
    lines = csv.writer(file, lineterminator="\n")
    lines.writerow(_COLUMNS)

    def write(row: Mapping[str, Any]) -> None:
        lines.writerow([_cell(row[column]) for column in _COLUMNS.values()])

    return write


def _cell(value: Any) -> Any:
    # A number, an id and a state stand as they are; JSON begins with no sign of a formula.
    return json_line(value) if isinstance(value, dict | list) else value


KINDS: Mapping[str, Callable[[IO[str]], Write]] = {"jsonl": _json_lines, "csv": _csv}
"""Of answers without their source."""

NAMED: Mapping[str, str] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".parquet": "parquet",
    ".xlsx": "xlsx",
}
"""The kind of file that a name means."""


def kind_of(path: Path) -> str:
    """What a file of this name holds; raises ``InvalidItem`` for others."""
    if (kind := NAMED.get(path.suffix.lower())) is None:
        raise InvalidItem(
            f"{path}: results are written as .csv, .jsonl, .parquet or .xlsx: name the file so, or"
            " say --format"
        )
    return kind


@contextmanager
def written(path: Path | None) -> Iterator[IO[str]]:
    """The file to be written, or stdout; raises ``InvalidItem`` where it cannot be."""
    if path is None:
        yield sys.stdout
        return
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            yield file
    except OSError as error:
        raise InvalidItem(f"cannot write {path}: {error.strerror}") from None


@contextmanager
def binary(path: Path | None) -> Iterator[IO[bytes]]:
    """The file to be written, or stdout. The file is there once it is whole, and not before.

    Raises ``InvalidItem`` where it cannot be written.
    """
    if path is None:
        sys.stdout.flush()
        yield sys.stdout.buffer
        return
    unfinished = None
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            unfinished = Path(file.name)
            yield file
        os.umask(mask := os.umask(0o077))
        unfinished.chmod(0o666 & ~mask)
        unfinished.replace(path)
        unfinished = None
    except OSError as error:
        raise InvalidItem(f"cannot write {path}: {error.strerror}") from None
    finally:
        if unfinished is not None:
            unfinished.unlink(missing_ok=True)


@contextmanager
def following(path: Path | None) -> Iterator[IO[bytes]]:
    """The file to be written, or stdout, that others read while it grows."""
    if path is None:
        sys.stdout.flush()
        yield sys.stdout.buffer
        return
    try:
        with path.open("wb") as file:
            yield file
    except OSError as error:
        raise InvalidItem(f"cannot write {path}: {error.strerror}") from None
