"""The limiter in memory, and both it and the real one on a clock the test holds."""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import redis

from tierqueue.router.lifecycle import LIMITS, Wait
from tierqueue.workers.limits.limiter import (
    LOOK_AGAIN,
    Bounds,
    Bucket,
    Grant,
    Limiter,
    Want,
)

SECOND = 1_000_000
LEASE = 30.0
names = itertools.count()


class TwinLimiter:
    """Decides as ``Limiter`` does; ``now`` answers in microseconds."""

    def __init__(self, now: Callable[[], int], lease: float, kind: type[Limiter] = Limiter) -> None:
        self._kind = kind
        self._now = now
        self._lease = round(lease * 1_000_000)
        self._levels: dict[tuple[str, str], tuple[float, int]] = {}
        self._slots: dict[tuple[str, str], dict[str, int]] = {}

    def grant(self, bounds: Bounds, wanted: Sequence[Want]) -> Grant:
        now = self._now()
        burst = math.inf if bounds.tokens_per_minute is None else bounds.token_burst or 0
        never = tuple(want.id for want in wanted if want.tokens > burst)
        wanted = [want for want in wanted if want.tokens <= burst]
        buckets = self._buckets(bounds)
        levels = [
            self._level(bounds.deployment, i, bucket, now) for i, bucket in enumerate(buckets)
        ]
        crowds = [
            (self._living("deployment", bounds.deployment, now), bounds.in_flight),
            (self._living("tier", bounds.tier, now), bounds.tier_in_flight),
        ]
        leaves = [min(slots.values(), default=math.inf) - now for slots, _ in crowds]
        granted: list[str] = []
        waits: dict[Wait, float] = {}
        for want in wanted:
            for i, (bucket, cost) in enumerate(zip(buckets, (1, want.tokens), strict=True)):
                if bucket is not None and levels[i] < cost:
                    waits[LIMITS[i]] = (cost - levels[i]) / bucket.rate * 1_000_000
            for i, (slots, most) in enumerate(crowds):
                if most is not None and len(slots) >= most:
                    waits[LIMITS[2 + i]] = min(LOOK_AGAIN * 1_000_000, leaves[i])
            if waits:
                break
            granted.append(want.id)
            levels = [levels[0] - 1, levels[1] - want.tokens]
            for slots, most in crowds:
                if most is not None:
                    slots[want.id] = now + self._lease
        for i, bucket in enumerate(buckets):
            if bucket is not None and wanted:
                self._levels[bounds.deployment, LIMITS[i]] = (levels[i], now)
        return Grant(
            granted=tuple(granted),
            retry_after=math.ceil(max(waits.values(), default=0)) / 1_000_000,
            full=tuple(waits),
            never=never,
        )

    def renew(self, deployment: str, tier: str, ids: Iterable[str]) -> bool:
        now, members = self._now(), list(ids)
        for key in (("deployment", deployment), ("tier", tier)):
            self._living(*key, now).update(dict.fromkeys(members, now + self._lease))
        return True

    def release(self, deployment: str, tier: str, ids: Iterable[str]) -> bool:
        members = list(ids)
        for key in (("deployment", deployment), ("tier", tier)):
            for member in members:
                self._slots.setdefault(key, {}).pop(member, None)
        return True

    def _buckets(self, bounds: Bounds) -> list[Bucket | None]:
        buckets: list[Bucket | None] = [None, None]
        if bounds.requests_per_minute is not None:
            buckets[0] = self._kind.requests_bucket(bounds.requests_per_minute)
        if bounds.tokens_per_minute is not None and bounds.token_burst is not None:
            buckets[1] = self._kind.tokens_bucket(bounds.tokens_per_minute, bounds.token_burst)
        return buckets

    def _level(self, deployment: str, i: int, bucket: Bucket | None, now: int) -> float:
        if bucket is None:
            return math.inf
        level, at = self._levels.get((deployment, LIMITS[i]), (0.0, now))
        return min(bucket.burst, level + max(0, now - at) * bucket.rate / 1_000_000)

    def _living(self, kind: str, name: str, now: int) -> dict[str, int]:
        slots = self._slots.setdefault((kind, name), {})
        for member in [member for member, ends in slots.items() if ends <= now]:
            del slots[member]
        return slots


def granted(limiter: Limiter | TwinLimiter, bounds: Bounds, wanted: Sequence[Want]) -> Grant:
    """What a worker is granted whose ledger knows of no call in flight that Redis forgot."""
    grant = limiter.grant(bounds, wanted)
    if grant.forgotten and isinstance(limiter, Limiter):
        limiter.nothing_in_flight(bounds.deployment, bounds.tier, grant.forgotten)
        grant = limiter.grant(bounds, wanted)
    return grant


@dataclass
class Bench:
    """A limiter and the clock it believes, in microseconds."""

    limiter: Limiter | TwinLimiter
    turn: Callable[[int], None]
    now: int = 1_700_000_000 * SECOND

    def __post_init__(self) -> None:
        self.turn(self.now)

    def later(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)
        self.turn(self.now)

    def grant(self, bounds: Bounds, *wanted: Want) -> Grant:
        return granted(self.limiter, bounds, wanted)


def on_redis(client: redis.Redis, kind: type[Limiter] = Limiter) -> Bench:
    """The script as shipped, but for the one line that reads the server's clock."""
    prefix = f"t{next(names)}"
    told = f"redis.call('LRANGE', '{prefix}:clock', 0, 1)"
    assert all(script.count("redis.call('TIME')") == 1 for script in kind.scripts)

    class Told(kind):  # type: ignore[misc, valid-type]
        scripts = tuple(script.replace("redis.call('TIME')", told) for script in kind.scripts)

    def turn(now: int) -> None:
        with client.pipeline() as pipe:
            pipe.delete(f"{prefix}:clock")
            pipe.rpush(f"{prefix}:clock", *(str(part) for part in divmod(now, SECOND)))
            pipe.execute()

    return Bench(Told(client, prefix, LEASE), turn)


def in_memory(kind: type[Limiter] = Limiter) -> Bench:
    clock = [0]

    def turn(now: int) -> None:
        clock[0] = now

    return Bench(TwinLimiter(lambda: clock[0], LEASE, kind), turn)
