"""The shared limiter: what a deployment may be asked for now, over all worker processes.

One Lua script on Redis decides a whole slice in one round trip, on Redis's own clock. Items are
taken strictly in the order wanted, and the first that does not fit ends the grant: nothing
overtakes, so a big item cannot starve behind small ones. An item is granted in every dimension of
its deployment, its account and its budget, or in none.

The promise: no sliding minute, as the provider sees it, holds more requests or tokens than the
deployment states, or its account or the item's budget, provided a call reaches the provider within
``Limiter.travel`` seconds of its grant. A granted call counts by its bound from the moment it is
granted, or by the most that calls of its kind have used of theirs lately (``expected``): no window
that is known holds more than is stated, and none that is not yet, unless calls of one kind turn out
larger at the same moment than any of the hundreds before. Once it has ended it counts by what it
used, and leaves the window a minute after it has arrived, which is known then. One of which nobody
knows what it used counts by its bound, one whose worker was lost by what it was granted for, until
it would have left at the latest.

What Redis has forgotten (it was flushed, restarted or replaced) the ledger still knows: nothing is
granted until all that was granted before has arrived or may not be sent any more, and what was
claimed within the window is then counted as before. Where nothing was, nobody waits.

Calls in flight are leased. Where Redis has forgotten them none is granted until a lease later,
when those who live have renewed theirs, or until the ledger knows of none. What a process that is
frozen or cut off from Redis for longer than a lease still has open at the provider is known to
nobody.
"""

import json
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from typing import Any

import redis
import structlog

from tierqueue.router.errors import SpendingRefused
from tierqueue.router.lifecycle import LIMITS
from tierqueue.router.outcome import DIMENSIONS, PerMinute
from tierqueue.router.policy.duration import SECOND_US, microseconds
from tierqueue.tasks.broker.client import deadline_client
from tierqueue.tasks.broker.names import LIMITER, LimiterKeys
from tierqueue.workers.limits.bounds import (
    FORGOTTEN,
    TIER_FORGOTTEN,
    Bounds,
    CallUsage,
    Grant,
    ScopeUsage,
    SlotRequest,
)
from tierqueue.workers.limits.learned_limits import LearnedLimits
from tierqueue.workers.limits.rates import SharedRates
from tierqueue.workers.limits.scripts import Scripts, WindowEntry, scopes_of
from tierqueue.workers.limits.token_expectation import TokenExpectation

_log = structlog.get_logger(__name__)

CHECK_AGAIN_SECONDS = 0.5
"""Seconds until what may be given back is checked again; a release tells nobody."""

LONGEST = 60.0
"""The most seconds a grant asks to wait: by then somebody may have changed a limit."""

KEY_LIFE_SECONDS = 3600
"""Seconds an unused key is kept."""


class Limiter:
    """The limiter of all deployments behind one Redis; safe for threads, blocks for one reply.

    ``prefix`` begins every one of its ``keys``; ``lease_seconds`` is how long a call in flight
    counts without a ``renew``. How long a silent Redis is waited for is the client's
    ``socket_timeout`` and ``retry``. A reply lost after the script ran costs tokens, never a second
    slot.
    """

    minute = 60.0
    """The provider's window in seconds; tests make it short."""
    travel = 5.0
    """The longest time in seconds between a grant and the call's arrival at the provider, where a
    rate is stated. What is not sent by then, and well within its lease, is not sent.
    """
    day = 86_400.0
    """The provider's day, a window like the minute."""
    scripts = Scripts()

    def __init__(self, client: redis.Redis, prefix: str, lease_seconds: float) -> None:
        self.keys = LimiterKeys(prefix)
        self._lease_us = microseconds(lease_seconds)
        self._grant = client.register_script(self.scripts.grant)
        self._renew = client.register_script(self.scripts.renew)
        self._settle = client.register_script(self.scripts.settle)
        self._restore = client.register_script(self.scripts.restore)
        self._client = client
        self.learned = LearnedLimits(client, self.keys)
        self._expected = TokenExpectation(client, self.keys)
        self.seen: dict[str, ScopeUsage] = {}

    @classmethod
    def at(cls, broker_url: str, lease_seconds: float) -> "Limiter":
        """The limiter of all workers of this broker, whose address is as Celery writes it."""
        return cls(deadline_client(broker_url), LIMITER, lease_seconds)

    def grant(self, bounds: Bounds, wanted: Sequence[SlotRequest]) -> Grant:
        """Decide ``wanted`` item by item, in order; what is granted holds its slots.

        Raises ``SpendingRefused`` when Redis gives no answer: then nothing may be called. Without
        any bound Redis is not asked.
        """
        never = tuple(want.id for want in wanted if not bounds.holds(want))
        if never:
            wanted = [want for want in wanted if want.id not in never]
        asked = time.monotonic()
        send_by = asked + self._good_for(bounds)
        if bounds.free or not wanted:
            granted = tuple(want.id for want in wanted)
            return Grant(granted=granted, never=never, send_by=send_by)
        scopes = 2 + len(bounds.shared)
        arguments: list[str | int] = [
            self._lease_us,
            microseconds(CHECK_AGAIN_SECONDS),
            *self._times(bounds),
        ]
        arguments += KEY_LIFE_SECONDS, scopes, int(not bounds.trial), *scopes_of(bounds)
        held = self._expected.of(bounds.deployment, wanted)
        arguments.append(json.dumps([(want.id, *held[want.id]) for want in wanted]))
        shared = tuple(one.key for one in bounds.shared)
        keys = self.keys.whole(bounds.deployment, bounds.tier, shared)
        keys.append(self.keys.learned(bounds.deployment))
        try:
            count, wait, full, at, *now = self._grant(keys=keys, args=arguments)
        except redis.RedisError as error:
            raise SpendingRefused(
                f"the limiter of {bounds.deployment} gave no answer ({type(error).__name__}); "
                "nothing is called until Redis answers again",
                {"deployment": bounds.deployment},
            ) from error
        until = [int(now[6 * scope]) for scope in range(scopes)]
        self._note(bounds, shared, now)
        return Grant(
            granted=tuple(want.id for want in wanted[:count]),
            retry_after=min(wait / SECOND_US, LONGEST),
            full=tuple(limit for bit, limit in enumerate(LIMITS) if full & 1 << bit),
            never=never,
            at=int(at),
            trial=bounds.trial,
            forgotten_until=until[0],
            shared=shared,
            shared_until=tuple(until[2:]),
            send_by=send_by,
            asked=asked,
            held=held,
        )

    def _note(self, bounds: Bounds, shared: Sequence[str], now: Sequence[Any]) -> None:
        """Keep what a grant told of its scopes: what is used of each, and what was learned."""
        at, scopes = time.monotonic(), [bounds.deployment, None, *shared]
        learned = PerMinute(*(int(rate) if rate else None for rate in now[-4:]))
        for number, scope in enumerate(scopes):
            if scope is not None and (number or bounds.windows):
                used = PerMinute(*map(int, now[6 * number + 1 : 6 * number + 5]))
                self.seen[scope] = ScopeUsage(at, used, PerMinute() if number else learned)

    def release_ended(self, bounds: Bounds, ended: Sequence[CallUsage]) -> bool:
        """Give back the slots of calls that ended, and what they did not use of their bounds.

        False when Redis gave no answer: then the lease ends them, and the bounds stand.
        """
        if not ended:
            return True
        counted_in: dict[tuple[str, ...], list[CallUsage]] = defaultdict(list)
        for one in ended:
            counted_in[one.slot.shared].append(one)
        # Each one is asked, whether or not another gave an answer.
        return min(self._ended(bounds, shared, some) for shared, some in counted_in.items())

    def _ended(self, bounds: Bounds, shared: tuple[str, ...], ended: Sequence[CallUsage]) -> bool:
        # Whether its windows are kept may have been changed since: where none are, none are there.
        # What is shared is so with calls that may take longer.
        longest: list[str | int] = [
            microseconds(bounds.call),
            "",
            *[microseconds(self.day)] * len(shared),
        ]
        arguments: list[str | int] = [*self._times(bounds), KEY_LIFE_SECONDS]
        arguments += len(longest), *longest, json.dumps([_argument(one) for one in ended])
        self._expected.learn(bounds.deployment, ended)
        scopes = bounds.deployment, bounds.tier, shared
        of_each = zip(self.keys.windows(*scopes), self.keys.slots(*scopes), strict=True)
        keys = [key for scope in of_each for key in scope]
        keys.append(self.keys.learned(bounds.deployment))
        try:
            self._settle(keys=keys, args=arguments)
        except redis.RedisError as error:
            name = type(error).__name__
            _log.warning("slots_not_released", deployment=bounds.deployment, error=name)
            return False
        return True

    def restore(
        self,
        bounds: Bounds,
        until: int,
        entries: Iterable[WindowEntry],
        days: bool,
        shared: SharedRates | None = None,
    ) -> None:
        """Count what the ledger knows of calls made before Redis forgot them: of the deployment, or
        of what it shares.

        ``until`` as the grant said that noticed it; with ``days`` the requests of a day are known.
        Where Redis gives no answer, or somebody was first, nothing changes.
        """
        arguments: list[str | int] = [*self._times(bounds), KEY_LIFE_SECONDS, until, int(days)]
        if shared is not None:
            arguments[2] = microseconds(max(shared.call, bounds.call))
        for phase, stands, *counts in entries:
            arguments += phase, microseconds(stands), *counts
        keys = [] if shared is None else [shared.key]
        with suppress(redis.RedisError):
            windows = self.keys.windows(bounds.deployment, bounds.tier, keys)
            self._restore(keys=[windows[-1 if keys else 0]], args=arguments)

    def renew(
        self, deployment: str, tier: str, ids: Iterable[str], shared: Sequence[str] = ()
    ) -> bool:
        """Lease the slots of ``ids`` anew, which count in ``shared`` too; false when Redis gave no
        answer (try again soon).
        """
        members = list(ids)
        if not members:
            return True
        scopes = deployment, tier, shared
        try:
            keys = [*self.keys.slots(*scopes), *self.keys.memory(*scopes)]
            self._renew(keys=keys, args=[self._lease_us, KEY_LIFE_SECONDS, *members])
        except redis.RedisError as error:
            _log.warning("slots_not_renewed", deployment=deployment, error=type(error).__name__)
            return False
        return True

    def release(
        self, deployment: str, tier: str, ids: Iterable[str], shared: Sequence[str] = ()
    ) -> bool:
        """Give back the slots of ``ids``; false when Redis gave no answer (the lease ends them)."""
        members = list(ids)
        if not members:
            return True
        try:
            with self._client.pipeline(transaction=False) as pipe:
                for key in self.keys.slots(deployment, tier, shared):
                    pipe.zrem(key, *members)
                pipe.execute()
        except redis.RedisError as error:
            _log.warning("slots_not_released", deployment=deployment, error=type(error).__name__)
            return False
        return True

    def nothing_in_flight(
        self, deployment: str, tier: str, forgotten: Collection[str], shared: Sequence[str] = ()
    ) -> None:
        """The ledger knows of no call in flight where Redis has ``forgotten`` some, nor of any that
        counts in one of ``shared``.

        Where Redis gives no answer it stays as it is, and the next ``grant`` says so.
        """
        own, tiers, *others = self.keys.memory(deployment, tier, shared)
        known = zip((FORGOTTEN, TIER_FORGOTTEN), (own, tiers), strict=True)
        keys = [*(key for reason, key in known if reason in forgotten), *others]
        with suppress(redis.RedisError):
            for key in keys:
                self._client.hset(key, "from", 0)

    def _good_for(self, bounds: Bounds) -> float:
        """Seconds for which a grant may be sent.

        Where no limit per minute is stated, none bounds the travel. The slot's lease does anyhow,
        and the claim's, which is as long: after it another worker may have the item.
        """
        leased = self._lease_us / SECOND_US * 2 / 3
        rated = bounds.rated or any(one.rated for one in bounds.shared)
        return min(self.travel, leased) if rated else leased

    def _times(self, bounds: Bounds) -> tuple[int, int, int, int]:
        return (
            microseconds(self.minute),
            microseconds(self.travel),
            microseconds(bounds.call),
            microseconds(self.day),
        )


def _argument(spent: CallUsage) -> tuple[object, ...]:
    """A call that ended as the script is told of it."""
    slot, used, sent, refused, over, _ = spent
    want = slot.want
    return (
        *(slot.id, slot.at, slot.input, slot.output),
        *((False, False) if used is None else used),
        # What was refused took nothing of any limit.
        sent and refused is None,
        # A trial's refusal says that the trouble lasts, and nothing of the rate.
        0 if refused is None or slot.trial else 1 + DIMENSIONS.index(refused),
        None if over is None else microseconds(over - slot.asked),
        *((slot.input, slot.output) if want is None else (want.input, want.output)),
    )
