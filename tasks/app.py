"""The Celery application, the same for producers, the routing stage and the workers."""

import os
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from celery import Celery
from kombu import Exchange, Queue

from tierqueue.router.errors import InvalidItem
from tierqueue.router.item import TIERS
from tierqueue.tasks.broker import names
from tierqueue.tasks.installation import Installation

_ON_THE_WAY_SECONDS = 3600
"""Seconds before Celery delivers an unacknowledged message again: far above the longest slice,
because on Redis this is a deadline and not a lease; the ledger's tick is what finds lost work."""

TRANSPORT_OPTIONS: Mapping[str, Any] = {
    "visibility_timeout": _ON_THE_WAY_SECONDS,
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
    "socket_keepalive": True,
    "socket_connect_timeout": 2,
    "health_check_interval": 25,
}
"""How processes speak to a Redis broker."""


class TierqueueApp(Celery):  # type: ignore[misc]  # celery ships no types
    """Celery as tierqueue configures it; ``installation`` is what this process has opened.

    Importing it reads no environment and opens nothing.
    """

    control_cls = "tierqueue.tasks.results.cancellation:ItemControl"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.installation = Installation(self)
        super().__init__(*args, **kwargs)
        self.add_defaults(self._configuration)
        self.loader.override_backends = dict.fromkeys(
            ("redis", "rediss"), "tierqueue.tasks.results.backend:LedgerBackend"
        )
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    @cached_property
    def AsyncResult(self) -> Any:  # noqa: N802 - Celery's name
        """As Celery's, for items that may be replayed."""
        return self.subclass_with_self(
            "tierqueue.tasks.results.replayable_results:ReplayableResult"
        )

    @cached_property
    def GroupResult(self) -> Any:  # noqa: N802 - Celery's name
        """As Celery's, for items that may be replayed."""
        return self.subclass_with_self("tierqueue.tasks.results.replayable_results:ReplayableGroup")

    def send_task(self, name: str, *args: Any, **options: Any) -> Any:
        """As Celery's. A task type of ours goes to the routing stage.

        Raises ``InvalidItem`` for what Celery itself would run, such as ``chunks`` and ``map``:
        no process of this system does.
        """
        if not (options.get("queue") or options.get("exchange") or options.get("routing_key")):
            if name.startswith("celery."):
                kind = name.removeprefix("celery.")
                raise InvalidItem(
                    f"{kind} would run in a process of Celery's own, which nobody starts here: use"
                    " group(task.s(text) for text in …), whose calls run side by side",
                    {"task": name},
                )
            if getattr(self.tasks.get(name), "arguments_model", None) is not None:
                options["queue"] = names.ROUTE
        return super().send_task(name, *args, **options)

    def _forget(self) -> None:
        self.installation = self.installation.after_fork()

    def _configuration(self) -> dict[str, Any]:
        settings = self.installation.settings
        return {
            "broker_url": settings.broker_url,
            "result_backend": settings.broker_url,
            "imports": settings.imports,
            "result_expires": settings.result_expires,
            "task_serializer": "json",
            "result_serializer": "json",
            "accept_content": ["json"],
            "task_queues": [
                _queue(names.ROUTE),
                *(_queue(names.tier_queue(tier)) for tier in TIERS),
            ],
            # Callbacks that state no queue are other applications' tasks: Celery's own default.
            "task_default_queue": "celery",
            "task_acks_late": True,
            "task_reject_on_worker_lost": True,
            "worker_prefetch_multiplier": 1,
            "worker_consumer": "tierqueue.tasks.consumer.consumer:ItemConsumer",
            "worker_redirect_stdouts": False,
            "worker_send_task_events": True,
            "worker_enable_soft_shutdown_on_idle": False,
            "broker_connection_retry_on_startup": True,
            "broker_connection_max_retries": None,
            # A broker that refuses a command (a replica now, its memory full, a key of another
            # type) is tried again, as one that is away: no process ends of it.
            "broker_channel_error_retry": True,
            "broker_pool_limit": 20,
            "broker_pool_acquire_timeout": 5,
            "broker_transport_options": TRANSPORT_OPTIONS,
            "redis_socket_connect_timeout": 2,
            "redis_socket_timeout": 5,
            "redis_socket_keepalive": True,
            "redis_backend_health_check_interval": 25,
        }


def _queue(name: str) -> Queue:
    """A queue with an exchange of its own: on a shared one each message would reach every queue."""
    return Queue(name, Exchange(name), routing_key=name)


app = TierqueueApp("tierqueue", set_as_current=False)
"""The application of this process."""
