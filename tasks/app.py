"""The Celery application, the same for producers, the routing stage and the workers."""

import os
from functools import cached_property
from typing import TYPE_CHECKING, Any

from celery import Celery
from celery.utils.functional import LRUCache
from kombu import Exchange, Queue

from tierqueue.router.errors import InvalidItem, Misconfigured
from tierqueue.router.item import TIERS
from tierqueue.tasks.broker import memory, names

if TYPE_CHECKING:
    from tierqueue.ledger.in_force.policies import Applied
    from tierqueue.ledger.session import Ledger
    from tierqueue.router.policy.policy import Policy
    from tierqueue.tasks.broker.task_events import ItemEvents
    from tierqueue.tasks.broker.wakes import Wakes
    from tierqueue.tasks.settings import Settings

_ON_THE_WAY = 3600
"""Seconds before Celery delivers an unacknowledged message again: far above the longest slice,
because on Redis this is a deadline and not a lease; the ledger's tick is what finds lost work."""

_JOINED = 10_000
"""Calls that joined an item and are remembered: what is forgotten waits a second longer."""


class TierqueueApp(Celery):  # type: ignore[misc]  # celery ships no types
    """Celery, plus what ``.delay()`` needs: settings, the ledger and the wakes.

    Each is made on first use, so that importing the tasks reads no environment and opens nothing,
    and again after a fork, because connections must not cross one.
    """

    control_cls = "tierqueue.tasks.results.cancellation:ItemControl"
    _made: dict[str, Any]
    idle_reads: float | None = None
    """Seconds a read of the ledger may stand still, where that is longer than a write may."""
    idle_writes: float | None = None
    """Seconds a write may stand still in a process that holds no lease; else a tenth of a lease."""
    joined: LRUCache
    """Calls of this process that joined an item which was there: their answer may be there too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._made = {}
        self.joined = LRUCache(limit=_JOINED)
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
        return self.subclass_with_self("tierqueue.tasks.results.replayable:ReplayableResult")

    @cached_property
    def GroupResult(self) -> Any:  # noqa: N802 - Celery's name
        """As Celery's, for items that may be replayed."""
        return self.subclass_with_self("tierqueue.tasks.results.replayable:ReplayableGroup")

    @property
    def settings(self) -> "Settings":
        """The settings of this process; raises ``Misconfigured``."""
        if "settings" not in self._made:
            from tierqueue.tasks import logs
            from tierqueue.tasks.settings import read_settings

            # Before anything of ours can log: nothing is done without settings.
            logs.join_host()
            self._made["settings"] = read_settings()
        found: Settings = self._made["settings"]
        return found

    @property
    def ledger(self) -> "Ledger":
        """The ledger; raises ``Misconfigured`` where its URL is missing or wrong."""
        if "ledger" not in self._made:
            from tierqueue.ledger.session import Ledger

            if self.settings.ledger_url is None:
                raise Misconfigured(
                    "TIERQUEUE_LEDGER_URL is not set", {"variable": "TIERQUEUE_LEDGER_URL"}
                )
            # A worker that freezes in a transaction must not hold the others up for a whole lease,
            # nor may its threads, whose turns come one after the other.
            frozen = self.idle_writes or max(0.5, self.settings.lease / 10)
            self._made["ledger"] = Ledger(
                self.settings.ledger_url, frozen=frozen, idle_reads=self.idle_reads
            )
        found: Ledger = self._made["ledger"]
        return found

    @property
    def policy(self) -> "Policy":
        """The policy this process goes by: its file's, until it is given what was applied.

        Raises ``InvalidPolicy``.
        """
        if "policy" not in self._made:
            self._made["policy"] = self.settings.read_policy()
        found: Policy = self._made["policy"]
        return found

    @policy.setter
    def policy(self, policy: "Policy") -> None:
        self._made["policy"] = policy

    def take_policy(self) -> "Policy":
        """Go by what was applied last, else by the file; raises ``InvalidPolicy``."""
        from tierqueue.ledger.in_force import policies

        with self.ledger.read() as connection:
            applied = policies.applied(connection)
        if applied is not None:
            self.policy = self.read_applied(applied)
        return self.policy

    def read_applied(self, applied: "Applied") -> "Policy":
        """The policy that was applied; raises ``InvalidPolicy`` where this release knows less."""
        from tierqueue.router.policy.policy import parse_policy

        source = f"version {applied.id} of the policy"
        return parse_policy(applied.text, source, self.settings.policy_folder)

    @property
    def item_events(self) -> "ItemEvents":
        """How this process shows Flower what happens to items."""
        if "events" not in self._made:
            from tierqueue.tasks.broker.task_events import ItemEvents

            self._made["events"] = ItemEvents(self)
        found: ItemEvents = self._made["events"]
        return found

    @property
    def wakes(self) -> "Wakes":
        """How this process tells the routing stage to look."""
        if "wakes" not in self._made:
            from tierqueue.tasks.broker.wakes import Wakes

            self._made["wakes"] = Wakes(self._send_wake)
        found: Wakes = self._made["wakes"]
        return found

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

    def say_awake(self, awake: bool) -> None:
        """Tell producers whether a routing stage is looking anyway; good for a second at most.

        Raises the broker's own error: whoever is not told sends a wake too many, or a tick passes.
        """
        memory.say_awake(self.backend, awake)

    def _send_wake(self) -> None:
        # A message costs its receiver twenty times what this question costs the broker.
        if memory.is_awake(self.backend):
            return
        self.send_task(names.WAKE, queue=names.ROUTE, ignore_result=True, retry=False)

    def _forget(self) -> None:
        self._made = {key: made for key, made in self._made.items() if key == "settings"}

    def _configuration(self) -> dict[str, Any]:
        settings = self.settings
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
            "broker_transport_options": {
                "visibility_timeout": _ON_THE_WAY,
                "unacked_restore_interval": 1,
                "unacked_restore_throttle": 1,
                "socket_keepalive": True,
                "socket_connect_timeout": 2,
                "health_check_interval": 25,
            },
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
