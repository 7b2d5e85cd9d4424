"""Celery's options, checked as the system needs them: its pool, its queue, its size."""

from typing import Any

from tierqueue.router.errors import Misconfigured
from tierqueue.tasks.app import TierqueueApp
from tierqueue.tasks.broker.names import CALLS, queue_of


def use(app: TierqueueApp, kind: str, pool: str) -> None:
    """Have Celery take this pool and size where its command line says nothing else."""
    app.add_defaults(lambda: {"worker_pool": pool, "worker_concurrency": CALLS[kind]})


def check(app: TierqueueApp, kind: str, pool: type, started: type) -> None:
    """Raise ``Misconfigured`` where Celery was told to take another pool, or another queue.

    With Celery's other pools a worker would take messages and do nothing with them.
    """
    how = f"start it with: tierqueue worker {kind}"
    if not issubclass(started, pool):
        name = f"{started.__module__}.{started.__qualname__}"
        raise Misconfigured(f"it was given the pool {name}, with which it cannot work; {how}")
    read: Any = app.amqp.queues.consume_from
    if set(read) != {queue_of(kind)}:
        said = ", ".join(sorted(read))
        raise Misconfigured(f"it would read {said}, and its queue is {queue_of(kind)}; {how}")
