"""Leases: what this worker holds, kept alive by one heartbeat for all of it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from tierqueue.ledger.lifecycle.leases import renew
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.workers.limits.limiter import Limiter
from tierqueue.workers.process.ticker import Ticker

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Holding:
    """One claimed item: its fence, its limiter slot while its call runs, how to end its call."""

    fence: int
    slot: str | None
    abort: Callable[[str], None]
    shared: tuple[str, ...] = ()
    """What its slot counts in beside its deployment, as the limiter names it."""


class Leases:
    """Renews every lease of this process each third of ``lease`` seconds.

    A claim that was lost, or whose item is to be cancelled, has its call aborted with the reason.
    """

    def __init__(
        self, ledger: Ledger, limiter: Limiter, deployment_tier: dict[str, str], lease: float
    ) -> None:
        self._ledger = ledger
        self._limiter = limiter
        self._tiers = deployment_tier
        self._lease = lease
        self._lock = threading.Lock()
        self._held: dict[str, dict[str, Holding]] = {}
        self._ticker = Ticker("leases", self._renew_all, lease / 3)

    def serve(self, deployment_tier: dict[str, str]) -> None:
        """Keep claims of these deployments alive too."""
        self._tiers.update(deployment_tier)

    def start(self) -> None:
        """Start the heartbeat."""
        self._ticker.start()

    def stop(self) -> None:
        """End the heartbeat; what is still held lapses."""
        self._ticker.stop()

    def take(self, deployment: str, item_id: str, holding: Holding) -> None:
        """Keep this claim alive from now on."""
        with self._lock:
            self._held.setdefault(deployment, {})[item_id] = holding

    def call_ended(self, deployment: str, item_id: str, fence: int) -> None:
        """The call is over and its slot free: from now on the lease alone is kept alive.

        Said before the slot is given back, or a beat would take it again.
        """
        with self._lock:
            held = self._held.get(deployment, {})
            if item_id in held and held[item_id].fence == fence:
                held[item_id] = replace(held[item_id], slot=None)

    def drop(self, deployment: str, item_id: str, fence: int) -> None:
        """Let go of a claim that is settled; a newer one of the same item stays."""
        with self._lock:
            held = self._held.get(deployment, {})
            if item_id in held and held[item_id].fence == fence:
                del held[item_id]

    def abort_all(self, why: str) -> None:
        """End every call in flight."""
        for held in self._snapshot().values():
            for holding in held.values():
                holding.abort(why)

    def _snapshot(self) -> dict[str, dict[str, Holding]]:
        with self._lock:
            return {deployment: dict(held) for deployment, held in self._held.items() if held}

    def _renew_all(self) -> None:
        for deployment, held in self._snapshot().items():
            try:
                self._beat(deployment, held)
            except Exception as error:  # noqa: BLE001 - the next beat tries again, until the lease ends
                _log.warning("heartbeat_failed", error=type(error).__name__)

    def _beat(self, deployment: str, held: dict[str, Holding]) -> None:
        fences = {item_id: holding.fence for item_id, holding in held.items()}
        lost: set[str] = set()
        try:
            with self._ledger.write() as connection:
                until = database_now(connection) + round(self._lease * 1_000_000)
                lost, cancelled = renew(connection, fences, until)
            for item_id in lost:
                held[item_id].abort("lost_lease")
            for item_id in cancelled:
                held[item_id].abort("cancelled")
        finally:
            # Whatever the ledger says, these calls are in flight at the provider.
            self._renew(deployment, [key for key in held if key not in lost])

    def _renew(self, deployment: str, item_ids: list[str]) -> None:
        tier, slots = self._tiers[deployment], self._slots(deployment, item_ids)
        for shared, ids in slots.items():
            self._limiter.renew(deployment, tier, ids, shared)
        # A slot that was given back meanwhile has come to life again, with no call to end it.
        still = self._slots(deployment, item_ids)
        for shared, ids in slots.items():
            self._limiter.release(deployment, tier, ids - still.get(shared, set()), shared)

    def _slots(self, deployment: str, item_ids: list[str]) -> dict[tuple[str, ...], set[str]]:
        """The slots of these items, by what they count in beside their deployment."""
        with self._lock:
            held = self._held.get(deployment, {})
            holdings = [held[key] for key in item_ids if key in held]
        found: dict[tuple[str, ...], set[str]] = {}
        for holding in holdings:
            if holding.slot is not None:
                found.setdefault(holding.shared, set()).add(holding.slot)
        return found
