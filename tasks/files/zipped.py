"""Zip files, which spreadsheets and documents are too: bounded before anything reads them."""

import zipfile
import zlib
from pathlib import Path

from tierqueue.router.errors import InvalidItem

MOST_BYTES = 2_000_000_000
"""Bytes a zip file may unpack to."""

MOST_MEMBERS = 100_000

_MOST_RATIO = 200
"""Unpacked bytes for a packed one, from ``_SMALL`` bytes on; text of one word comes to 100."""

_SMALL = 50_000_000
_PIECE = 1 << 20


def bounded(path: Path, most: int = MOST_BYTES, *, called: str | None = None) -> None:
    """Unpack a file once, keeping nothing; raises ``InvalidItem`` where it is too large or broken.

    What the file itself says of its size is not believed. ``called``: what an error calls it,
    where not by its path.
    """
    called = called or str(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > MOST_MEMBERS:
                raise InvalidItem(f"{called} holds more than {MOST_MEMBERS:,} files: split it")
            if any(member.flag_bits & 1 for member in members):
                raise InvalidItem(f"{called} is protected by a password: save it without one")
            allowed = min(most, max(_SMALL, path.stat().st_size * _MOST_RATIO))
            unpacked = sum(member.file_size for member in members)
            if unpacked > allowed:
                raise InvalidItem(_too_large(called, allowed))
            for member in members:
                with archive.open(member) as file:
                    # A member that says less than it holds ends early, and its checksum is wrong.
                    while file.read(_PIECE):
                        pass
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise InvalidItem(f"{called} is broken: {error}") from None


def _too_large(called: str, allowed: int) -> str:
    return (
        f"{called} unpacks to more than {allowed:,} bytes, which is refused as a zip bomb:"
        " split it if it is none"
    )
