"""Standard input: CSV, JSON lines, Parquet or a spreadsheet, told apart by how it begins."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.files import json_lines, parquet, separated, workbook
from tierqueue.tasks.files.source import Reading, Source
from tierqueue.tasks.files.spooled.temporary_folder import TemporaryFolder

NAME = "standard input"

_BEGINNINGS: tuple[tuple[bytes, str, Callable[[Path, Reading], Source]], ...] = (
    (b"PAR1", "parquet", parquet.read),
    (b"PK", "xlsx", workbook.read),
    (b"{", "jsonl", json_lines.read),
    (b"\xef\xbb\xbf{", "jsonl", json_lines.read),
    (b"\xff\xfe{", "jsonl", json_lines.read),
    (b"\xfe\xff\0{", "jsonl", json_lines.read),
    (b"", "csv", separated.read),
)


def read(reading: Reading) -> Source:
    """What is written to standard input, to its end; raises ``InvalidItem`` where it is no job."""
    folder = TemporaryFolder()
    path = folder.path / "input"
    with path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    with path.open("rb") as file:
        beginning = file.read(16).lstrip()
    _, kind, reader = next(known for known in _BEGINNINGS if beginning.startswith(known[0]))
    path = path.rename(path.with_suffix(f".{kind}"))
    try:
        return folder.source(reader(path, reading), NAME, f"read as {kind}")
    except InvalidItem as error:
        raise InvalidItem(error.message.replace(str(path), NAME)) from None
