"""``make demo`` and ``make up``: the whole system on this machine, with work running through it."""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from examples.demo import sending
from examples.demo.place import Place, claim_folder, forget_keys, live_place, local_place
from tierqueue.operations.cli import log_to_stderr
from tierqueue.router.errors import TierqueueError
from tools.system import NotReady, System

_FOLLOWING = 10.0
"""Seconds that what a worker had started may take to end after it."""

_EXAMPLE = """\
examples:
  make demo                                        the sample
  make demo TICKETS=tickets.csv COLUMN=text        a job over any CSV, one column of it
  make up                                          the same processes until Ctrl-C
  LIVE=1 make demo                                 real keys and real money, under a ceiling

Without LIVE=1 a tiny, real model on this machine sorts the tickets, and the sandbox,
a simulated provider, answers for everything else.
"""


def main() -> int:
    """The exit status: 0 where every item reached an end and each case went as intended."""
    asked = _parser().parse_args()
    # What a script reads stands alone on stdout.
    console = Console(stderr=asked.json)
    if not console.is_terminal:
        console = Console(stderr=asked.json, width=120)
    log_to_stderr()
    signal.signal(signal.SIGTERM, _interrupt)
    # A shell starts what it puts into the background with this signal ignored.
    signal.signal(signal.SIGINT, _interrupt)
    try:
        with claim_folder() as folder:
            place = live_place(folder, console) if asked.live else local_place(folder)
            forget_keys()
            if not asked.up:
                place.clear()
            return _run(asked, place, console)
    except (TierqueueError, NotReady) as error:
        console.print(f"error: {error}", style="red", markup=False, highlight=False)
        return 2
    except KeyboardInterrupt:
        console.print("interrupted; nothing is left running")
        return 130


def _run(asked: argparse.Namespace, place: Place, console: Console) -> int:
    names = [*place.processes, "flower"]
    system = place.system(names)
    console.print(f"Starting {', '.join(['broker', *names])} in {place.folder} …", markup=False)
    pids: dict[str, int] = {}
    try:
        system.start()
        pids = {name: process.popen.pid for name, process in system.processes.items()}
        console.print(f"Flower: http://127.0.0.1:{system.flower_port}", markup=False)
        if asked.up:
            return _stay(system, console)
        settings = {
            name: value for name, value in system.environ.items() if name.startswith("TIERQUEUE_")
        }
        for name in [name for name in os.environ if name.startswith("TIERQUEUE_")]:
            del os.environ[name]
        os.environ.update(settings)
        if asked.tickets:
            summary = sending.tickets(place, asked.tickets, asked.column, asked.labels, console)
        else:
            summary = sending.sample(place, console)
        summary.show(console)
    finally:
        # A second Ctrl-C must not leave half of it running.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        status = system.stop()
        left = _left(pids)
        killed = [name for name, code in status.items() if code is None]
        if killed or left:
            console.print(f"killed at the end: {killed}; still running: {left}", style="red")
    if asked.json:
        print(json.dumps(summary.to_json()))
    return 0 if summary.as_intended and not killed and not left else 1


def _stay(system: System, console: Console) -> int:
    """Until Ctrl-C, or until a process ends by itself: then 1, with its last lines."""
    environ = system.environ
    shown = ("TIERQUEUE_BROKER_URL", "TIERQUEUE_LEDGER_URL", "TIERQUEUE_POLICY")
    console.print("For producers and for the command tierqueue:", markup=False)
    for name in shown:
        console.print(f"  export {name}={environ[name]}", soft_wrap=True, highlight=False)
    try:
        # Said inside the try: a Ctrl-C right after the line is already an orderly end.
        console.print("Ctrl-C ends everything.")
        while all(process.popen.poll() is None for process in system.processes.values()):
            signal.sigtimedwait([], 0.5)
    except KeyboardInterrupt:
        console.print("Stopping …")
        return 0
    for name, process in system.processes.items():
        if process.popen.poll() is not None:
            console.print(f"{name} ended:\n{process.output()[-2000:]}", style="red", markup=False)
    return 1


def _left(pids: Mapping[str, int]) -> list[str]:
    """Which processes still run, or anything of theirs, a moment after they were ended.

    The helpers of an engine notice the end of their worker and follow it.
    """
    until = time.monotonic() + _FOLLOWING
    while (left := [name for name, pid in pids.items() if _runs(pid)]) and time.monotonic() < until:
        time.sleep(0.05)
    return left


def _runs(pid: int) -> bool:
    """Whether the process, or anything of its group, is still there."""
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.demo",
        description="Run the sample through the whole system.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    environ = os.environ
    parser.add_argument("--up", action="store_true", help="no sample: stay up until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="the summary as JSON on stdout")
    parser.add_argument(
        "--live",
        action="store_true",
        default=environ.get("LIVE", "") not in ("", "0"),
        help="real providers (LIVE=1): examples/demo/live.toml",
    )
    tickets = environ.get("TICKETS") or None
    parser.add_argument("--tickets", type=Path, default=tickets and Path(tickets), help="a CSV")
    parser.add_argument("--column", default=environ.get("COLUMN") or "text", help="its text")
    parser.add_argument("--labels", type=Path, help="a file with one label a line")
    return parser


if __name__ == "__main__":
    sys.exit(main())
