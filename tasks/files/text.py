"""Text files in the encodings people have: told by a byte order mark, by UTF-8, or found out."""

import codecs
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from unicodedata import category

from tierqueue.router.errors import InvalidItem

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

_USUAL = [
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "koi8_r"),
    *("shift_jis", "euc_jp", "gb18030", "big5", "euc_kr", "mac_roman", "cp850"),
]
"""Of the hundred there are, those that files in use have: a guess among all is a worse guess."""

_LATIN = frozenset({"cp1250", "cp1252", "cp1254", "mac_roman", "cp850"})

_LETTERS = 0xC0
"""From here on the Windows encodings have letters; below stand quotes, dashes and the euro."""

_SAMPLE = 262_144
"""Bytes an encoding is found out from."""

_LONGEST_LINE = 50_000_000
"""Characters of one line: a file without line ends must not stand in memory whole."""

_PIECE = 1 << 20
"""Bytes read at a time."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """An encoding by Python's name; ``guessed`` where neither the file nor anybody said it."""

    name: str
    guessed: bool = False


def encoding_of(path: Path, stated: str | None) -> Encoding:
    """The encoding of a whole file: as stated, by its mark, UTF-8, or as found out.

    The file is read to its end. Raises ``InvalidItem`` for an encoding that is not known, and for
    a file that is not text in the one stated or in any that is usual.
    """
    if stated is not None:
        return _encoding(path, stated)
    with path.open("rb") as file:
        beginning = file.read(_SAMPLE)
    for mark, name in _MARKS:
        if beginning.startswith(mark):
            _check(path, name)
            return Encoding(name)
    without_mark = _unmarked_utf16(beginning)
    if without_mark is not None:
        _check(path, without_mark)
        return Encoding(without_mark, guessed=True)
    at = _first_undecodable(path, "utf-8")
    return Encoding("utf-8") if at is None else _guessed(path, at)


@contextmanager
def reading(path: Path, encoding: str, *, newline: str | None = None) -> Iterator[IO[str]]:
    """The file opened as text; raises ``InvalidItem`` where it cannot be read."""
    try:
        with path.open(encoding=encoding, newline=newline) as file:
            yield file
    except UnicodeError:
        raise InvalidItem(f"{path} changed while it was read") from None
    except OSError as error:
        raise InvalidItem(f"cannot read {path}: {error.strerror}") from None


def lines(file: IO[str], path: Path) -> Iterator[str]:
    """The lines of a text, with their ends; raises ``InvalidItem`` for one that is no line."""
    while line := file.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise InvalidItem(f"{path} has a line of more than {_LONGEST_LINE:,} characters")
        yield line


def _encoding(path: Path, stated: str) -> Encoding:
    try:
        name = codecs.lookup(stated).name
        "".encode(name).decode(name)
    except (LookupError, UnicodeError):
        raise InvalidItem(f"{stated!r} is no encoding: say utf-8, cp1252, utf-16 …") from None
    with path.open("rb") as file:
        beginning = file.read(4)
    # A byte order mark is no part of the first column's name.
    for mark, marked in _MARKS:
        if beginning.startswith(mark) and marked.startswith(name):
            name = marked
    _check(path, name)
    return Encoding(name)


def _check(path: Path, name: str) -> None:
    at = _first_undecodable(path, name)
    if at is not None:
        raise InvalidItem(f"{path} is not {name} text: see {at}")


def _first_undecodable(path: Path, name: str) -> str | None:
    """Where a file stops being text in this encoding: the line by its ends, from 1."""
    decoder = codecs.getincrementaldecoder(name)()
    ends = 0
    with path.open("rb") as file:
        while True:
            piece = file.read(_PIECE)
            try:
                text = decoder.decode(piece, final=not piece)
            except UnicodeError as error:
                start = error.start if isinstance(error, UnicodeDecodeError) else 0
                held = piece[:start].decode(name, "replace")
                return f"line {ends + held.count(chr(10)) + 1}"
            ends += text.count("\n")
            if not piece:
                return None


def _unmarked_utf16(beginning: bytes) -> str | None:
    """UTF-16 without a mark, by its zeros: text of Latin letters has one in every second byte."""
    pairs = len(beginning) // 2
    if pairs < 2:
        return None
    low, high = beginning[0 : pairs * 2 : 2].count(0), beginning[1 : pairs * 2 : 2].count(0)
    if high > pairs * 0.4 and low < pairs * 0.05:
        return "utf-16-le"
    if low > pairs * 0.4 and high < pairs * 0.05:
        return "utf-16-be"
    return None


def _guessed(path: Path, at: str) -> Encoding:
    try:
        from charset_normalizer import from_bytes
    except ImportError:
        raise InvalidItem(
            f"{path} is not UTF-8 text: see {at}; say --encoding cp1252 or another, or have it"
            " found out: pip install 'tierqueue[documents]'"
        ) from None
    with path.open("rb") as file:
        sample = file.read(_SAMPLE)
        if not any(byte > 127 for byte in sample):
            # The first letter that is none of ASCII stands further down: it tells the encoding.
            sample += _around_letters(file)
    found = from_bytes(sample, cp_isolation=_USUAL)
    best = found.best()
    if best is None:
        raise InvalidItem(
            f"{path} is not UTF-8 text: see {at}; no usual encoding fits either:"
            " say --encoding, if it is text"
        )
    rank = best.chaos, best.coherence
    alike = [match for match in found if (match.chaos, match.coherence) == rank]
    names = {name for match in alike for name in (match.encoding, *match.could_be_from_charset)}
    signs = all(byte < _LETTERS for byte in sample if byte > 127)
    if not best.coherence and (best.encoding in _LATIN or signs):
        names.add(_USUAL[0])
    return Encoding(_likeliest(path, sample, names), guessed=True)


def _likeliest(path: Path, sample: bytes, names: Collection[str]) -> str:
    """Of encodings that fit alike, the one in which fewest signs stand at letters, and the one that
    most files have. Raises ``InvalidItem`` where the whole file is text in none.
    """
    usual = [name for name in _USUAL if name in names]
    in_turn = sorted(usual, key=lambda name: _signs_at_letters(sample.decode(name, "replace")))
    for name in in_turn[:-1]:
        if _first_undecodable(path, name) is None:
            return name
    _check(path, in_turn[-1])
    return in_turn[-1]


def _signs_at_letters(text: str) -> int:
    """How often a sign such as £, in another encoding a letter, stands at a letter."""
    return sum(
        letters[0].isalpha() or letters[2].isalpha()
        for letters in zip(" " + text, text, text[1:] + " ", strict=False)
        if letters[1] > "\x7f" and category(letters[1])[0] in "SN"
    )


def _around_letters(file: IO[bytes]) -> bytes:
    found = b""
    for line in file:
        if not line.isascii():
            found += line[:4_096]
        if len(found) > _SAMPLE:
            break
    return found
