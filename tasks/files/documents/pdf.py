"""PDF: the text of its pages, read by a process of its own, which alone a broken file can end."""

import atexit
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.files.documents.document import Document, Page

_SECONDS = 300.0
"""Seconds for one page, OCR on a busy machine included."""

_READING = "tierqueue.tasks.files.documents.pdf_reading"


def read(path: Path, name: str) -> Document:
    """A PDF; a password and too many pages are refused when it is opened.

    A page that crashes what reads it, or takes five minutes, is refused like any that cannot be
    read.
    """

    def pages() -> Iterator[Page]:
        with _reader() as reader:
            for number in range(reader.opened(path)):
                yield lambda number=number: reader.page(number)  # type: ignore[misc]

    return Document(name, pages, paged=True)


class Reader:
    """A process that reads one PDF after the other, started again where one has ended it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._path = ""

    @property
    def pid(self) -> int | None:
        """The process that runs, if one does."""
        return None if self._process is None else self._process.pid

    def opened(self, path: Path) -> int:
        """How many pages it has; raises ``InvalidItem`` where it cannot be opened."""
        self._path = str(path)
        return int(self._answered({"open": self._path}, "it"))

    def page(self, number: int) -> str:
        """A page's text, from 0; raises ``InvalidItem`` where it cannot be read."""
        if self._process is None:
            self._answered({"open": self._path}, "it")
        return str(self._answered({"page": number}, f"page {number + 1}"))

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _answered(self, asked: dict[str, Any], what: str) -> Any:
        process = self._process = self._process or _started()
        assert process.stdin is not None
        assert process.stdout is not None
        late = threading.Timer(_SECONDS, process.kill)
        late.start()
        try:
            process.stdin.write(json.dumps(asked).encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = b""
        finally:
            late.cancel()
        if not line.endswith(b"\n"):
            self.close()
            raise InvalidItem(f"{what} crashes the PDF reader, or takes {_SECONDS:.0f} s to read")
        told = json.loads(line)
        if "wrong" in told:
            raise InvalidItem(told["wrong"])
        return told["said"]


def _started() -> "subprocess.Popen[bytes]":
    # -P: nothing in the folder it is called from is imported. Its own session: Ctrl-C is ours.
    return subprocess.Popen(  # noqa: S603  # this very program
        [sys.executable, "-P", "-m", _READING],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )


_idle: list[Reader] = []
"""Readers whose file is done: starting one takes as long as reading many pages."""


@contextmanager
def _reader() -> Iterator[Reader]:
    try:
        reader = _idle.pop()
    except IndexError:
        reader = Reader()
    try:
        yield reader
    finally:
        _idle.append(reader)


def end_readers() -> None:
    """End the processes that wait for another file."""
    while _idle:
        _idle.pop().close()


atexit.register(end_readers)
# A forked process would speak into its parent's pipes.
os.register_at_fork(after_in_child=_idle.clear)
