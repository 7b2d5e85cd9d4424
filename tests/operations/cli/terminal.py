"""The ``tierqueue`` command as a process of its own, in a real terminal or piped."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from pathlib import Path

from tests.fork_server import ForkServer

_COMMAND = Path(sys.executable).parent / "tierqueue"


def in_terminal(
    forks: ForkServer,
    columns: int,
    *words: str,
    status: int = 0,
    environment: Mapping[str, str] | None = None,
) -> str:
    """What a terminal of so many columns is sent, line by line."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    running = forks.start(
        ["tierqueue", *words],
        environ=_environment({"TERM": "xterm", **(environment or {})}),
        output=os.ttyname(theirs),
        folder=Path.cwd(),
    )
    os.close(theirs)
    sent = b""
    while block := _read(ours):
        sent += block
    os.close(ours)
    assert running.wait(timeout=60) == status, sent
    return sent.decode("utf-8").replace("\r\n", "\n")


def piped(*words: str, status: int = 0, environment: Mapping[str, str] | None = None) -> str:
    """What a pipe is sent."""
    done = subprocess.run(
        [_COMMAND, *words],
        env=_environment(environment or {}),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == status, done.stderr
    return done.stdout.decode("utf-8")


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    left_out = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return {**kept, "PYTHONUTF8": "1", "TZ": "Europe/Berlin", **more}


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # how Linux says that the last process has closed it
        return b""
