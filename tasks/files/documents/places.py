"""Places of documents: a file, a folder, a pattern, a zip file."""

import glob
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.files import zipped
from tierqueue.tasks.files.documents import mail, markup, pdf, word
from tierqueue.tasks.files.documents.document import Document, unreadable

READERS: Mapping[str, Callable[[Path, str], Document]] = {
    **dict.fromkeys((".txt", ".md"), markup.read_text),
    **dict.fromkeys((".html", ".htm"), markup.read_html),
    ".pdf": pdf.read,
    **dict.fromkeys((".docx", ".docm"), word.read),
    ".eml": mail.read,
}

MAILBOX, ZIP = ".mbox", ".zip"
KINDS = (*READERS, MAILBOX, ZIP)

_PATTERN = frozenset("*?[")


def is_pattern(path: Path) -> bool:
    """Whether a name is a pattern such as ``letters/**/*.pdf``, and no file that is there."""
    return not _PATTERN.isdisjoint(str(path)) and not path.exists()


def documents(path: Path) -> Iterator[Document]:
    """Every document of a place, in the order of names; what cannot be read says why."""
    for file, name in files(path):
        yield from _of_file(file, name)


def files(path: Path) -> Iterator[tuple[Path, str]]:
    """Every file of a place, in the order of names, with its name in ``folder_of`` the place."""
    folder = folder_of(path)
    if path.is_dir():
        for file in _walked(path):
            yield file, file.relative_to(folder).as_posix()
    elif is_pattern(path):
        for name in sorted(glob.iglob(str(path), recursive=True)):  # noqa: PTH207  # as a shell has it
            if (file := Path(name)).is_file():
                yield file, file.relative_to(folder).as_posix()
    else:
        yield path, path.name


def folder_of(path: Path) -> Path:
    """The folder that a place is in: of a pattern the one that it begins with, wherever it is
    called.
    """
    if path.is_dir():
        return path
    if not is_pattern(path):
        return path.parent
    return next(part for part in path.parents if _PATTERN.isdisjoint(str(part)))


def _walked(folder: Path) -> Iterator[Path]:
    """The files of a folder and of those in it, none that is hidden; no link is followed away."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(parent, name)


def _is_hidden(part: str) -> bool:
    return part == "__MACOSX" or (part.startswith(".") and part != "..")


def _of_file(path: Path, name: str) -> Iterator[Document]:
    kind = path.suffix.lower()
    try:
        if kind == ZIP:
            yield from _of_zip(path, name)
        elif kind == MAILBOX:
            yield from mail.read_mailbox(path, name)
        else:
            yield _read(path, name)
    except InvalidItem as error:
        yield unreadable(name, error.message)
    except OSError as error:
        yield unreadable(name, f"it cannot be read: {error.strerror}")


def _read(path: Path, name: str) -> Document:
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        kinds = ", ".join(KINDS)
        return unreadable(name, f"a file {path.suffix or 'without an ending'} is none of {kinds}")
    return reader(path, name)


def _of_zip(path: Path, name: str) -> Iterator[Document]:
    zipped.bounded(path, called="it")
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
        for member in sorted(archive.infolist(), key=lambda member: member.filename):
            inside = PurePosixPath(member.filename)
            if member.is_dir() or any(map(_is_hidden, inside.parts)):
                continue
            told = f"{name}/{inside}"
            if inside.suffix.lower() == ZIP:
                yield unreadable(told, f"a {inside.suffix} in a zip file is not opened: unpack it")
                continue
            # One file at a time, under a name of ours: a member's own may lead anywhere.
            unpacked = Path(folder, f"member{inside.suffix.lower()}")
            with archive.open(member) as packed, unpacked.open("wb") as file:
                shutil.copyfileobj(packed, file)
            yield from _of_file(unpacked, told)
            unpacked.unlink()
