"""The Procfile's entrances with the crash hook passed in; nothing else differs from the product.

``twin`` names a deliberately broken worker (see ``twins``), for the negative controls.
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path

from celery.signals import task_postrun, task_prerun

import tierqueue.tasks.kinds  # noqa: F401 - registers the task types
from bench.chaos import twins
from bench.chaos.hook import Hook
from bench.chaos.own_engine import OwnEngine
from tierqueue.router.item import Tier
from tierqueue.router.policy.deployment import Deployment
from tierqueue.tasks.app import app
from tierqueue.tasks.broker import names
from tierqueue.workers import engines
from tierqueue.workers.engines.engine import Engine
from tierqueue.workers.engines.stations import BuildEngine
from tierqueue.workers.routing_stage.worker import RoutingWorker
from tierqueue.workers.tier_worker import TierWorker

ENGINE_SECONDS = 0.25
"""How long its own engine takes for a call: long enough to be killed in."""

_QUIET = ("-E", "-l", "INFO", "--without-gossip", "--without-mingle")


def serve(kind: str, name: str, twin: str, folder: Path, skew: float = 0.0) -> None:
    """Be one worker process: ``routing`` or a tier's; returns when Celery ends it.

    ``skew``: by how many seconds the clock of this process is ahead of its machine's.
    """
    if twin:
        twins.TWINS[twin]()
    if skew:
        _skew(skew)
    hook = Hook(folder, name)
    worker: object
    if kind == "routing":
        worker = RoutingWorker(app, hook)
        _watch_the_intake(hook)
        size = ("-c", "4", "-Q", names.ROUTE)
    else:
        worker = TierWorker(app, Tier(kind), build_engine=_builder(folder, hook), checkpoint=hook)
        size = ("-c", "8", "-Q", kind)
    app.worker_main(["worker", *size, "-n", f"{name}@%h", *_QUIET])
    del worker


def _skew(seconds: float) -> None:
    seconds_here, nanoseconds_here = time.time, time.time_ns
    time.time = lambda: seconds_here() + seconds
    time.time_ns = lambda: nanoseconds_here() + round(seconds * 1e9)


def _watch_the_intake(hook: Hook) -> None:
    # The intake is a task like any other to Celery, so that its signals are points enough.
    def before(task: object = None, **_: object) -> None:
        if getattr(task, "name", None) != names.WAKE:
            hook("before_intake")

    def after(task: object = None, **_: object) -> None:
        if getattr(task, "name", None) != names.WAKE:
            hook("after_intake")

    task_prerun.connect(before, weak=False)
    task_postrun.connect(after, weak=False)


def _builder(folder: Path, hook: Hook) -> BuildEngine:
    def build(deployment: Deployment, environ: Mapping[str, str]) -> Engine:
        if deployment.engine == "vllm":
            log = folder / f"engine-{os.getpid()}.jsonl"
            return OwnEngine(log, ENGINE_SECONDS, hook)
        return engines.build(deployment, environ)

    return build
