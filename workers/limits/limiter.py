"""The shared limiter: what a deployment may be asked for now, over all worker processes.

One Lua script on Redis decides a whole slice in one round trip, on Redis's own clock. Items are
taken strictly in the order wanted, and the first that does not fit ends the grant: nothing
overtakes, so a big item cannot starve behind small ones. An item is granted in every dimension or
in none.

The promise: no sliding minute, as the provider sees it, holds more requests or tokens than the
deployment states, provided a call reaches the provider within ``Limiter.travel`` seconds of its
grant. A bucket that is not there (new deployment, restarted or flushed Redis) is empty, never
full, and so is one that cannot be read; buckets live an hour after their last use, so only a
deployment idle for longer fills again from nothing. Calls in flight are leased. Where Redis has
forgotten them (it was flushed, restarted, replaced or away) none is granted until a lease later,
when those who live have renewed theirs, or until the ledger knows of none. What a process that is
frozen or cut off from Redis for longer than a lease still has open at the provider is known to
nobody.
"""

import math
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

from tierqueue.router.errors import InvalidPolicy, SpendingRefused
from tierqueue.router.lifecycle import LIMITS, Wait
from tierqueue.tasks.broker import names

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a deployment states; ``None`` means "not bounded", 0 in flight means "nothing now".

    ``token_burst`` is the most tokens granted at one instant and so the largest item that can ever
    be granted. Raises ``InvalidPolicy`` for bounds no bucket can keep.
    """

    deployment: str
    tier: str
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    token_burst: int | None = None
    in_flight: int | None = None
    tier_in_flight: int | None = None

    def __post_init__(self) -> None:
        if self.requests_per_minute is not None and self.requests_per_minute < 1:
            raise self._wrong("requests_per_minute must be at least 1")
        if self.tokens_per_minute is not None and not (
            self.token_burst is not None and 0 < self.token_burst < self.tokens_per_minute
        ):
            raise self._wrong("token_burst must lie between 0 and tokens_per_minute")
        if min(self.in_flight or 0, self.tier_in_flight or 0) < 0:
            raise self._wrong("calls in flight cannot be negative")

    @property
    def free(self) -> bool:
        """Whether nothing at all is bounded."""
        return (
            self.requests_per_minute is None
            and self.tokens_per_minute is None
            and self.in_flight is None
            and self.tier_in_flight is None
        )

    def _wrong(self, what: str) -> InvalidPolicy:
        return InvalidPolicy(
            f"deployment {self.deployment}: {what}", {"deployment": self.deployment}
        )


@dataclass(frozen=True, slots=True)
class Want:
    """One call asked for: a slot id no other call bears, and the most tokens it may cost."""

    id: str
    tokens: int

    def __post_init__(self) -> None:
        if self.tokens < 0:
            raise ValueError(f"a call cannot want {self.tokens} tokens")


FORGOTTEN, TIER_FORGOTTEN = Wait.IN_FLIGHT_FORGOTTEN, Wait.TIER_IN_FLIGHT_FORGOTTEN
"""Redis does not know all calls in flight, of the deployment or of the tier."""

_FORGOTTEN = frozenset({FORGOTTEN, TIER_FORGOTTEN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What may be called now: the first ``len(granted)`` of those wanted that can ever fit.

    ``retry_after`` is in seconds, 0 when all were granted; for calls in flight it is only when to
    look again. ``full`` are the limits that stopped the next one, the rates first. ``never`` holds
    ids of more tokens than ``token_burst``: no waiting helps them, and they block nobody.
    ``send_by``, in monotonic seconds: what is granted has to leave by then, or may not any more.
    """

    granted: tuple[str, ...]
    retry_after: float = 0.0
    full: tuple[Wait, ...] = ()
    never: tuple[str, ...] = ()
    send_by: float = field(default=math.inf, compare=False)

    @property
    def busy(self) -> bool:
        """Whether only calls in flight stand in the way: the next one to end frees capacity."""
        return set(self.full) <= {Wait.IN_FLIGHT, Wait.TIER_IN_FLIGHT, *_FORGOTTEN}

    @property
    def forgotten(self) -> frozenset[Wait]:
        """Of which calls in flight Redis does not know all: ``FORGOTTEN``, ``TIER_FORGOTTEN``."""
        return _FORGOTTEN & frozenset(self.full)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A token bucket: holds at most ``burst``, gains ``rate`` a second."""

    burst: int
    rate: float


LOOK_AGAIN = 1.0
"""Seconds until a full set of calls in flight is looked at again; a release tells nobody."""
BUCKET_LIFE = 3600
"""Seconds an unused key is kept."""


def _script(name: str) -> str:
    return Path(__file__).with_name(f"{name}.lua").read_text(encoding="utf-8")


GRANT = _script("remembered") + _script("limiter")

RENEW = _script("remembered") + _script("renew")


class Limiter:
    """The limiter of all deployments behind one Redis; safe for threads, blocks for one reply.

    ``prefix`` begins every key; ``lease`` is how long, in seconds, a call in flight counts without
    a ``renew``. How long a silent Redis is waited for is the client's ``socket_timeout`` and
    ``retry``. A reply lost after the script ran costs tokens, never a second slot.
    """

    minute = 60.0
    """The provider's window in seconds; tests make it short."""
    travel = 5.0
    """The longest time in seconds between a grant and the call's arrival at the provider, where a
    limit per minute is stated. What is not sent by then, and well within its lease, is not sent.
    """
    scripts = (GRANT, RENEW)

    def __init__(self, client: redis.Redis, prefix: str, lease: float) -> None:
        self._prefix = prefix
        self._lease = round(lease * 1_000_000)
        self._grant = client.register_script(self.scripts[0])
        self._renew = client.register_script(self.scripts[1])
        self._client = client

    @classmethod
    def at(cls, broker_url: str, lease: float) -> "Limiter":
        """The limiter of all workers of this broker, whose address is as Celery writes it."""
        # A silent Redis must not hold a slice longer than a grant may take to reach the provider.
        client = redis.Redis.from_url(
            broker_url.replace("redis+socket://", "unix://", 1),
            socket_timeout=1,
            socket_connect_timeout=1,
            retry=Retry(NoBackoff(), 1),
        )
        return cls(client, names.LIMITER, lease)

    @classmethod
    def requests_bucket(cls, per_minute: int) -> Bucket:
        """The bucket that keeps ``per_minute`` requests in any sliding minute.

        Calls that arrive within a minute were granted within T < minute + travel seconds, and a
        bucket grants at most floor(burst + rate * T) in T. The rate below makes that less than
        ``per_minute`` + 1, so at most ``per_minute``; the + 1 is what leaves a limit of 1 a rate.
        """
        burst = max(1, per_minute // 10)
        return Bucket(burst, (per_minute - burst + 1) / (cls.minute + cls.travel))

    @classmethod
    def tokens_bucket(cls, per_minute: int, burst: int) -> Bucket:
        """The bucket that keeps ``per_minute`` tokens in any sliding minute: burst + rate * T."""
        return Bucket(burst, (per_minute - burst) / (cls.minute + cls.travel))

    def grant(self, bounds: Bounds, wanted: Sequence[Want]) -> Grant:
        """Decide ``wanted`` item by item, in order; what is granted holds its slots.

        Raises ``SpendingRefused`` when Redis gives no answer: then nothing may be called. Without
        any bound Redis is not asked.
        """
        never: tuple[str, ...] = ()
        if bounds.tokens_per_minute is not None and bounds.token_burst is not None:
            never = tuple(want.id for want in wanted if want.tokens > bounds.token_burst)
            wanted = [want for want in wanted if want.tokens <= bounds.token_burst]
        send_by = time.monotonic() + self._good_for(bounds)
        if bounds.free or not wanted:
            granted = tuple(want.id for want in wanted)
            return Grant(granted=granted, never=never, send_by=send_by)
        arguments = [*self._numbers(bounds), self._lease, round(LOOK_AGAIN * 1e6), BUCKET_LIFE]
        for want in wanted:
            arguments += want.id, want.tokens
        buckets = f"{self._prefix}:buckets:{bounds.deployment}"
        slots = self._slots(bounds.deployment, bounds.tier)
        try:
            keys = [buckets, *slots, *self._memory(bounds.deployment, bounds.tier)]
            count, wait, full = self._grant(keys=keys, args=arguments)
        except redis.RedisError as error:
            raise SpendingRefused(
                f"the limiter of {bounds.deployment} gave no answer ({type(error).__name__}); "
                "nothing is called until Redis answers again",
                {"deployment": bounds.deployment},
            ) from error
        return Grant(
            granted=tuple(want.id for want in wanted[:count]),
            retry_after=wait / 1e6,
            full=tuple(limit for bit, limit in enumerate(LIMITS) if full & 1 << bit),
            never=never,
            send_by=send_by,
        )

    def renew(self, deployment: str, tier: str, ids: Iterable[str]) -> bool:
        """Lease the slots of ``ids`` anew; false when Redis gave no answer (try again soon)."""
        members = list(ids)
        if not members:
            return True
        try:
            keys = [*self._slots(deployment, tier), *self._memory(deployment, tier)]
            self._renew(keys=keys, args=[self._lease, BUCKET_LIFE, *members])
        except redis.RedisError as error:
            _log.warning("slots_not_renewed", deployment=deployment, error=type(error).__name__)
            return False
        return True

    def release(self, deployment: str, tier: str, ids: Iterable[str]) -> bool:
        """Give back the slots of ``ids``; false when Redis gave no answer (the lease ends them)."""
        members = list(ids)
        if not members:
            return True
        try:
            with self._client.pipeline(transaction=False) as pipe:
                for key in self._slots(deployment, tier):
                    pipe.zrem(key, *members)
                pipe.execute()
        except redis.RedisError as error:
            _log.warning("slots_not_released", deployment=deployment, error=type(error).__name__)
            return False
        return True

    def nothing_in_flight(self, deployment: str, tier: str, forgotten: Collection[str]) -> None:
        """The ledger knows of no call in flight where Redis has ``forgotten`` some.

        Where Redis gives no answer it stays as it is, and the next ``grant`` says so.
        """
        known = zip((FORGOTTEN, TIER_FORGOTTEN), self._memory(deployment, tier), strict=True)
        with suppress(redis.RedisError):
            for reason, key in known:
                if reason in forgotten:
                    self._client.hset(key, "from", 0)

    def _good_for(self, bounds: Bounds) -> float:
        """Seconds for which a grant may be sent.

        Where no limit per minute is stated, none bounds the travel. The slot's lease does anyhow,
        and the claim's, which is as long: after it another worker may have the item.
        """
        leased = self._lease / 1e6 * 2 / 3
        rated = (bounds.requests_per_minute, bounds.tokens_per_minute) != (None, None)
        return min(self.travel, leased) if rated else leased

    def _numbers(self, bounds: Bounds) -> list[str | int | float]:
        numbers: list[str | int | float] = []
        if bounds.requests_per_minute is None:
            numbers += "", ""
        else:
            bucket = self.requests_bucket(bounds.requests_per_minute)
            numbers += bucket.burst, bucket.rate
        if bounds.tokens_per_minute is None or bounds.token_burst is None:
            numbers += "", ""
        else:
            bucket = self.tokens_bucket(bounds.tokens_per_minute, bounds.token_burst)
            numbers += bucket.burst, bucket.rate
        for most in (bounds.in_flight, bounds.tier_in_flight):
            numbers.append("" if most is None else most)
        return numbers

    def _memory(self, deployment: str, tier: str) -> list[str]:
        return [f"{self._prefix}:known:{deployment}", f"{self._prefix}:tier-known:{tier}"]

    def _slots(self, deployment: str, tier: str) -> list[str]:
        return [f"{self._prefix}:calls:{deployment}", f"{self._prefix}:tier-calls:{tier}"]
