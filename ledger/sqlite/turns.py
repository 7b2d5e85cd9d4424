"""Turns at writing to a SQLite file: one writer at a time, among threads and processes."""

import fcntl
import os
import threading
import time

from sqlalchemy.exc import OperationalError

_TICK_SECONDS = 0.02


class Turns:
    """Writers of one SQLite file take turns: threads at a lock, processes at a file beside it.

    SQLite alone would keep them safe, but its waiting is sleeping, up to 100 ms at a time, and
    whoever writes in a loop starves the others. The system wakes the next one at once, and lets
    go of the file when its holder dies. ``patience_seconds``: how long a turn is waited for;
    ``None`` is for as long as it takes. Raises ``OperationalError`` when it does not come, and
    where the file beside the ledger's cannot be written.
    """

    def __init__(self, path: str, patience_seconds: float | None = None) -> None:
        self._path = path
        self._patience_seconds = patience_seconds
        self._lock = threading.Lock()
        self._file: int | None = None

    def __enter__(self) -> None:
        if not self._lock.acquire(
            timeout=-1 if self._patience_seconds is None else self._patience_seconds
        ):
            raise self._refused(BlockingIOError("another thread writes"))
        try:
            if self._file is None:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            self._wait(self._file)
        except OSError as error:
            self._lock.release()
            raise self._refused(error) from error
        except BaseException:
            self._lock.release()
            raise

    def __exit__(self, *_: object) -> None:
        assert self._file is not None
        fcntl.flock(self._file, fcntl.LOCK_UN)
        self._lock.release()

    def _wait(self, file: int) -> None:
        if self._patience_seconds is None:
            fcntl.flock(file, fcntl.LOCK_EX)
            return
        until = time.monotonic() + self._patience_seconds
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until:
                    raise
                time.sleep(_TICK_SECONDS)
            else:
                return

    def _refused(self, error: OSError) -> OperationalError:
        return OperationalError(f"the turn to write, {self._path}", None, error)

    def close(self) -> None:
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None
