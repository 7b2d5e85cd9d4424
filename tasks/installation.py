"""The installation that a process belongs to: settings, ledger, policy, wakes."""

from functools import cached_property
from typing import TYPE_CHECKING

from celery import Celery
from celery.utils.functional import LRUCache

from tierqueue.router.errors import Misconfigured
from tierqueue.tasks.broker import memory, names

if TYPE_CHECKING:
    from tierqueue.ledger.in_force.policies import AppliedPolicy
    from tierqueue.ledger.session import Ledger
    from tierqueue.router.policy.policy import Policy
    from tierqueue.tasks.broker.task_events import ItemEvents
    from tierqueue.tasks.broker.wakes import Wakes
    from tierqueue.tasks.settings import Settings

_JOINED = 10_000
"""Calls that joined an item and are remembered: what is forgotten waits a second longer."""


class Installation:
    """Settings, ledger, policy, wakes and item events of one process.

    Each is made on first use, so that importing the tasks reads no environment and opens nothing.
    """

    def __init__(
        self,
        app: Celery,
        *,
        idle_reads_seconds: float | None = None,
        idle_writes_seconds: float | None = None,
    ) -> None:
        """``idle_reads_seconds``: how long a read of the ledger may stand still, where that is
        longer than a write may. ``idle_writes_seconds``: how long a write may in a process that
        holds no lease; else a tenth of a lease.
        """
        self._app = app
        self.idle_reads_seconds = idle_reads_seconds
        self.idle_writes_seconds = idle_writes_seconds
        self.joined = LRUCache(limit=_JOINED)
        """Calls of this process that joined an item which was there: it may have ended already."""

    def after_fork(self) -> "Installation":
        """The same for a child: the settings stay, since connections must not cross a fork."""
        child = Installation(
            self._app,
            idle_reads_seconds=self.idle_reads_seconds,
            idle_writes_seconds=self.idle_writes_seconds,
        )
        if "settings" in vars(self):
            child.settings = self.settings
        return child

    @cached_property
    def settings(self) -> "Settings":
        """The settings of this process; raises ``Misconfigured``."""
        from tierqueue.tasks import logs
        from tierqueue.tasks.settings import read_settings

        # Before anything of ours can log: nothing is done without settings.
        logs.join_host()
        return read_settings()

    @cached_property
    def ledger(self) -> "Ledger":
        """The ledger; raises ``Misconfigured`` where its URL is missing or wrong."""
        from tierqueue.ledger.session import Ledger

        if self.settings.ledger_url is None:
            raise Misconfigured(
                "TIERQUEUE_LEDGER_URL is not set", {"variable": "TIERQUEUE_LEDGER_URL"}
            )
        # A worker that freezes in a transaction must not hold the others up for a whole lease,
        # nor may its threads, whose turns come one after the other.
        frozen = self.idle_writes_seconds or max(0.5, self.settings.lease / 10)
        return Ledger(
            self.settings.ledger_url,
            frozen_seconds=frozen,
            idle_reads_seconds=self.idle_reads_seconds,
        )

    @cached_property
    def policy(self) -> "Policy":
        """The policy this process goes by: its file's, until it is given what was applied.

        Raises ``InvalidPolicy``.
        """
        return self.settings.read_policy()

    @property
    def simulated(self) -> "frozenset[str]":
        """The simulated deployments of its policy; none where it has read no policy yet."""
        return frozenset(self.policy.simulated) if "policy" in vars(self) else frozenset()

    def take_policy(self) -> "Policy":
        """Go by what was applied last, else by the file; raises ``InvalidPolicy``."""
        from tierqueue.ledger.in_force import policies

        with self.ledger.read() as connection:
            applied = policies.applied(connection)
        if applied is not None:
            self.policy = self.read_applied(applied)
        return self.policy

    def read_applied(self, applied: "AppliedPolicy") -> "Policy":
        """The policy that was applied; raises ``InvalidPolicy`` where this release knows less."""
        from tierqueue.router.policy.policy import parse_policy

        source = f"version {applied.id} of the policy"
        return parse_policy(applied.text, source, self.settings.policy_folder)

    @cached_property
    def item_events(self) -> "ItemEvents":
        """How this process shows Flower what happens to items."""
        from tierqueue.tasks.broker.task_events import ItemEvents

        return ItemEvents(self._app)

    @cached_property
    def wakes(self) -> "Wakes":
        """How this process tells the routing stage to look."""
        from tierqueue.tasks.broker.wakes import Wakes

        return Wakes(self._send_wake)

    def close(self) -> None:
        """Send the wakes and events that wait, and hang up the ledger; it may be opened again."""
        if "wakes" in vars(self):
            self.wakes.flush()
        if "item_events" in vars(self):
            self.item_events.flush()
        if "ledger" in vars(self):
            self.ledger.close()

    def _send_wake(self) -> None:
        # A message costs its receiver twenty times what this question costs the broker.
        if memory.is_awake(self._app.backend):
            return
        self._app.send_task(names.WAKE, queue=names.ROUTE, ignore_result=True, retry=False)
