"""Zip files are bounded by what they hold, and not by what they say."""

import zipfile
from pathlib import Path

import pytest

from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.files import zipped


def packed(tmp_path: Path, size: int) -> Path:
    path = tmp_path / "work.zip"
    archive = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9)
    with archive as file, file.open("zeros", "w") as member:
        for _ in range(size // 1_000_000):
            member.write(bytes(1_000_000))
    return path


def test_a_file_that_unpacks_to_a_thousand_times_its_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidItem, match="refused as a zip bomb"):
        zipped.bounded(packed(tmp_path, 60_000_000))
    zipped.bounded(packed(tmp_path, 10_000_000))


def test_a_file_that_says_it_is_smaller_is_broken(tmp_path: Path) -> None:
    path = packed(tmp_path, 60_000_000)
    said = (60_000_000).to_bytes(4, "little")
    content = path.read_bytes()
    assert said in content
    path.write_bytes(content.replace(said, (1_000).to_bytes(4, "little")))
    with pytest.raises(InvalidItem, match="is broken"):
        zipped.bounded(path)


def test_a_password_is_named(tmp_path: Path) -> None:
    path = packed(tmp_path, 1_000_000)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(InvalidItem, match="protected by a password"):
        zipped.bounded(path)
