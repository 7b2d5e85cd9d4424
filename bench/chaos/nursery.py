"""Forks worker processes from one that has imported everything, so that a kill costs no start-up.

``python -m bench.chaos.nursery`` reads one JSON object a line, ``{"kind", "name", "twin"}``, and
answers ``{"name", "pid"}`` once the process runs and ``{"pid", "ended"}`` when it is no more. All
that it started die with it.
"""

import gc
import json
import os
import select
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

# Imported before the first fork, or each worker would do it anew.
import anthropic  # noqa: F401
import celery.apps.worker
import celery.bin.celery
import celery.concurrency.thread  # noqa: F401
import kombu.transport.redis  # noqa: F401
import openai  # noqa: F401

import tierqueue.tasks.consumer.consumer
import tierqueue.tasks.settings
import tierqueue.workers.engines.anthropic
import tierqueue.workers.engines.openai  # noqa: F401
from bench.chaos import bare, entrances, producer

TICK_SECONDS = 0.02
"""Seconds between two checks for processes that ended."""


def main() -> None:
    """Fork on demand until stdin is closed; then kill what is left."""
    folder = Path(os.environ["CHAOS_FOLDER"])
    gc.freeze()  # A fork that looked through all this for garbage would copy it.
    children: set[int] = set()
    waiting = b""
    while True:
        readable, _, _ = select.select([0], [], [], TICK_SECONDS)
        if readable:
            told = os.read(0, 65536)
            if not told:
                break
            *lines, waiting = (waiting + told).split(b"\n")
            for line in lines:
                asked = json.loads(line)
                pid = _fork(asked, folder)
                children.add(pid)
                _say({"name": asked["name"], "pid": pid})
        for pid in list(children):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                children.discard(pid)
                ended = os.waitstatus_to_exitcode(status)
                _say({"pid": pid, "ended": ended, "at": time.time()})
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    for pid in children:
        os.waitpid(pid, 0)


def _say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _fork(asked: dict[str, Any], folder: Path) -> int:
    pid = os.fork()
    if pid:
        return pid
    # The child never returns to the parent's code, whatever happens.
    status = 1
    try:
        os.setsid()
        log = os.open(folder / f"{asked['name']}.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        _be(asked, folder)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - whatever it was, it ends here
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def _be(asked: dict[str, Any], folder: Path) -> None:
    kind, name = asked["kind"], asked["name"]
    if kind == "producer":
        producer.produce(name, folder, seed=asked["seed"], backlog=asked["backlog"])
    elif kind == "bare":
        bare.serve(name, folder)
    else:
        entrances.serve(kind, name, asked.get("twin", ""), folder, asked.get("skew", 0.0))


if __name__ == "__main__":
    main()
