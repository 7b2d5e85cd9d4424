"""Whose turn it is to write to a SQLite file."""

import fcntl
import os
import threading


class Turns:
    """Writers of one SQLite file take turns: threads at a lock, processes at a file beside it.

    SQLite alone would keep them safe, but its waiting is sleeping, up to 100 ms at a time, and
    whoever writes in a loop starves the others. The system wakes the next one at once, and lets
    go of the file when its holder dies.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._file: int | None = None

    def __enter__(self) -> None:
        self._lock.acquire()
        try:
            if self._file is None:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            fcntl.flock(self._file, fcntl.LOCK_EX)
        except BaseException:
            self._lock.release()
            raise

    def __exit__(self, *_: object) -> None:
        assert self._file is not None
        fcntl.flock(self._file, fcntl.LOCK_UN)
        self._lock.release()

    def close(self) -> None:
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None
