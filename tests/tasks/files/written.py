"""Files for the tests of readers, and rows written through the seam and read again."""

import io
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from tierqueue.tasks.files.opening import open_source
from tierqueue.tasks.files.source import Format, Reading, Source
from tierqueue.tasks.files.writing import writer


def file(tmp_path: Path, content: str | bytes, name: str = "work.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def source(tmp_path: Path, content: str | bytes, name: str = "work.csv", **how: Any) -> Source:
    return open_source(file(tmp_path, content, name), Reading(**how))


def values(found: Source) -> list[dict[str, Any]]:
    return [row.columns for row in found.rows()]


def given_back(
    form: Format,
    columns: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    added: Collection[str] = (),
) -> bytes:
    file = io.BytesIO()
    with writer(file, form, columns, added) as write:
        for row in rows:
            write(row)
    return file.getvalue()
