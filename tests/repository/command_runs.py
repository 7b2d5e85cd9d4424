"""Runs commands of ``tierqueue`` as a terminal would, without loading Python anew for each.

As a program it reads one JSON object a line, ``{"words", "folder", "environ", "output"}``, runs the
command in a fork of itself and prints the exit status.
"""

import gc
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path


class Terminal:
    """The program at the other end of two pipes; one command at a time."""

    def __init__(self) -> None:
        root = Path(__file__).resolve().parents[2]
        self._program = subprocess.Popen(
            [sys.executable, "-m", "tests.repository.command_runs"],
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, line: str, folder: Path, environ: dict[str, str]) -> tuple[int, str]:
        """The exit status of ``tierqueue …``, and what it printed."""
        words = shlex.split(line)
        assert words.pop(0) == "tierqueue", line
        output = folder / "printed"
        asked = {"words": words, "folder": str(folder), "environ": environ, "output": str(output)}
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.write(json.dumps(asked) + "\n")
        self._program.stdin.flush()
        status = int(self._program.stdout.readline())
        return status, output.read_text(encoding="utf-8")

    def close(self) -> None:
        """End the program."""
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.close()
        self._program.stdout.close()
        self._program.wait(10)


def _serve() -> None:
    from tierqueue.operations.cli import root

    for name in root.list_commands(None):  # type: ignore[arg-type]
        root.get_command(None, name)  # type: ignore[arg-type]
    import tierqueue.operations.diagnosis  # once, before the forks, with what most commands load
    import tierqueue.operations.status
    import tierqueue.tasks.kinds
    import tierqueue.tasks.settings  # noqa: F401

    gc.freeze()  # A fork that looked through all this for garbage would copy it.
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _run(json.loads(line))
        _, ended = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(ended), flush=True)  # noqa: T201


def _run(asked: dict[str, object]) -> None:
    from tierqueue.operations.cli import main

    os.chdir(str(asked["folder"]))
    os.environ.clear()
    os.environ.update(asked["environ"])  # type: ignore[call-overload]
    opened = os.open(str(asked["output"]), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(opened, 1)
    os.dup2(opened, 2)
    main(list(asked["words"]))  # type: ignore[call-overload]


if __name__ == "__main__":
    _serve()
