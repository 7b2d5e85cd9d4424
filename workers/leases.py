"""Leases: what this worker holds, kept alive by one heartbeat for all of it."""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import structlog

from tierqueue.ledger.lifecycle.claims import Claim
from tierqueue.ledger.lifecycle.leases import renew
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.router.policy.duration import microseconds
from tierqueue.tasks.ticker import Ticker
from tierqueue.workers.limits.limiter import Limiter

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class HeldItem:
    """One claimed item: its fence, its limiter slot while its call runs, how to end its call."""

    fence: int
    slot: str | None
    abort: Callable[[str], None]
    shared: tuple[str, ...] = ()
    """What its slot counts in beside its deployment, as the limiter names it."""


class Leases:
    """Renews every lease of this process each third of ``lease_seconds``.

    A claim that was lost, or whose item is to be cancelled, has its call aborted with the reason.
    """

    def __init__(
        self,
        ledger: Ledger,
        limiter: Limiter,
        deployment_tier: dict[str, str],
        lease_seconds: float,
    ) -> None:
        self._ledger = ledger
        self._limiter = limiter
        self._tiers = deployment_tier
        self._lease_seconds = lease_seconds
        self._lock = threading.Lock()
        self._held: dict[str, dict[str, HeldItem]] = {}
        self._ticker = Ticker("leases", self._renew_all, lease_seconds / 3)

    def serve(self, deployment_tier: dict[str, str]) -> None:
        """Keep claims of these deployments alive too."""
        self._tiers.update(deployment_tier)

    def start(self) -> None:
        """Start the heartbeat."""
        self._ticker.start()

    def stop(self) -> None:
        """End the heartbeat; what is still held lapses."""
        self._ticker.stop()

    def take(self, deployment: str, holdings: Mapping[str, HeldItem]) -> None:
        """Keep these claims alive from now on, by the ids of their items."""
        with self._lock:
            self._held.setdefault(deployment, {}).update(holdings)

    def call_ended(self, deployment: str, claims: Iterable[Claim]) -> None:
        """The calls are over and their slots free: from now on the leases alone are kept alive.

        Said before the slots are given back, or a beat would take them again.
        """
        with self._lock:
            held = self._held.get(deployment, {})
            for claim in claims:
                holding = held.get(claim.item.id)
                if holding is not None and holding.fence == claim.fence:
                    holding.slot = None

    def drop(self, deployment: str, claims: Iterable[Claim]) -> None:
        """Let go of claims that are settled; a newer one of the same item stays."""
        with self._lock:
            held = self._held.get(deployment, {})
            for claim in claims:
                holding = held.get(claim.item.id)
                if holding is not None and holding.fence == claim.fence:
                    del held[claim.item.id]

    def abort_all(self, why: str) -> None:
        """End every call in flight."""
        for held in self._snapshot().values():
            for holding in held.values():
                holding.abort(why)

    def _snapshot(self) -> dict[str, dict[str, HeldItem]]:
        with self._lock:
            return {deployment: dict(held) for deployment, held in self._held.items() if held}

    def _renew_all(self) -> None:
        for deployment, held in self._snapshot().items():
            try:
                self._beat(deployment, held)
            except Exception as error:  # noqa: BLE001 - the next beat tries again, until the lease ends
                _log.warning("heartbeat_failed", error=type(error).__name__)

    def _beat(self, deployment: str, held: dict[str, HeldItem]) -> None:
        fences = {item_id: holding.fence for item_id, holding in held.items()}
        lost: set[str] = set()
        try:
            with self._ledger.write() as connection:
                until = database_now(connection) + microseconds(self._lease_seconds)
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
