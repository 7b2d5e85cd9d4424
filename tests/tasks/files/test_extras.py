"""What is not installed is named with the command that installs it."""

import sys
from pathlib import Path

import pytest

from tests.tasks.files.written import source
from tierqueue.router.errors import InvalidItem


@pytest.mark.parametrize(
    ("module", "name", "content"),
    [
        ("pyarrow", "work.parquet", b"PAR1"),
        ("openpyxl", "work.xlsx", b"PK"),
        ("python_calamine", "work.ods", b"PK"),
        ("charset_normalizer", "work.csv", b"text\nca\xe9\n"),
    ],
)
def test_a_missing_extra_is_named_with_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, name: str, content: bytes
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InvalidItem, match=r"pip install 'tierqueue\[documents\]'"):
        source(tmp_path, content, name)
