"""The control without tierqueue: Celery as its manual says, late acks and all."""

import os
import threading
import time
from pathlib import Path

from celery import Celery

from bench.chaos.hook import note

VISIBILITY = 2
"""Seconds until Redis delivers again what was not acknowledged."""

TASK_SECONDS = 6.0


def make(broker_url: str) -> Celery:
    """An application whose deliveries are at least once, by late acks."""
    app = Celery("bare", broker=broker_url, set_as_current=False)
    app.conf.update(
        task_acks_late=True,
        task_ignore_result=True,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        broker_transport_options={
            "visibility_timeout": VISIBILITY,
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
        },
    )
    return app


def serve(name: str, folder: Path) -> None:
    """One worker; each end of the task is a result that is accepted, because nothing says no."""
    app = make(os.environ["TIERQUEUE_BROKER_URL"])
    fences: dict[str, int] = {}

    def slow(key: str) -> None:
        fences[key] = fences.get(key, 0) + 1
        line = {"item": key, "fence": f"{os.getpid()}.{fences[key]}", "started": time.time()}
        threading.Event().wait(TASK_SECONDS)
        note(folder / "accepted.jsonl", {**line, "ended": time.time()})

    app.task(slow, name="bare.slow")
    options = ("-P", "threads", "-c", "4", "-n", f"{name}@%h", "-l", "WARNING")
    app.worker_main(["worker", *options, "--without-gossip", "--without-mingle"])
