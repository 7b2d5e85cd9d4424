"""The limiter in memory, and both it and the real one on a clock the test holds."""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import redis

from tierqueue.router.lifecycle import LIMITS, Wait
from tierqueue.workers.limits.bounds import RATE_FORGOTTEN, Bounds, CallUsage, Grant, SlotRequest
from tierqueue.workers.limits.limiter import CHECK_AGAIN_SECONDS, LONGEST, Limiter
from tierqueue.workers.limits.scripts import Scripts

SECOND = 1_000_000
LEASE_SECONDS = 30.0
names = itertools.count()


@dataclass
class _Window:
    """One deployment's sliding windows: cells by phase and grain, as the script keeps them."""

    cells: dict[tuple[str, int], list[int]]

    def put(self, phase: str, index: int, requests: int, tokens_in: int, tokens_out: int) -> None:
        cell = self.cells.setdefault((phase, index), [0, 0, 0])
        more = (requests, tokens_in, tokens_out)
        cell[:] = [max(0, had + plus) for had, plus in zip(cell, more, strict=True)]


class TwinLimiter:
    """Decides as ``Limiter`` does; ``now`` answers in microseconds. It never forgets."""

    def __init__(
        self, now: Callable[[], int], lease_seconds: float, kind: type[Limiter] = Limiter
    ) -> None:
        self._minute, self._travel = (round(part * SECOND) for part in (kind.minute, kind.travel))
        self._day = round(kind.day * SECOND)
        self._now = now
        self._lease_us = round(lease_seconds * SECOND)
        self._windows: dict[str, _Window] = {}
        self._slots: dict[tuple[str, str], dict[str, int]] = {}

    def grant(self, bounds: Bounds, wanted: Sequence[SlotRequest]) -> Grant:
        now = self._now()
        never = tuple(want.id for want in wanted if not bounds.holds(want))
        wanted = [want for want in wanted if bounds.holds(want)]
        window = self._window(bounds.deployment, now)
        used = self._used(window)
        crowds = [
            (self._living("deployment", bounds.deployment, now), bounds.in_flight),
            (self._living("tier", bounds.tier, now), bounds.tier_in_flight),
        ]
        leaves = [min(slots.values(), default=math.inf) - now for slots, _ in crowds]
        granted: list[SlotRequest] = []
        waits: dict[Wait, float] = {}
        for want in wanted:
            cost = (1, want.tokens, want.input, want.output, 1)
            for n, limit in enumerate(bounds.rates):
                if limit is not None and used[n] + cost[n] > limit:
                    over = used[n] + cost[n] - limit
                    just = bool(granted) and n > 0
                    waits[LIMITS[n]] = self._leaves(window, n, over, now, just)
            calls = (Wait.IN_FLIGHT, Wait.TIER_IN_FLIGHT)
            for full, (slots, most), leave in zip(calls, crowds, leaves, strict=True):
                if most is not None and len(slots) >= most:
                    waits[full] = min(CHECK_AGAIN_SECONDS * SECOND, leave)
            if waits:
                break
            granted.append(want)
            used = [had + more for had, more in zip(used, cost, strict=True)]
            for slots, most in crowds:
                if most is not None:
                    slots[want.id] = now + self._lease_us
        if bounds.windows:
            self._enter(window, granted, bounds.call, now)
            for want in granted:
                crowds[0][0][want.id] = now + self._lease_us
        return Grant(
            granted=tuple(want.id for want in granted),
            retry_after=min(math.ceil(max(waits.values(), default=0)) / SECOND, LONGEST),
            full=tuple(limit for limit in LIMITS if limit in waits),
            never=never,
            at=now,
        )

    def release_ended(self, bounds: Bounds, ended: Sequence[CallUsage]) -> bool:
        now, call = self._now(), round(bounds.call * SECOND)
        window = self._window(bounds.deployment, now)
        for slot, used, left, refused, over, _ in ended:
            sent = left and refused is None
            self._slots.setdefault(("tier", bounds.tier), {}).pop(slot.id, None)
            mine = self._slots.setdefault(("deployment", bounds.deployment), {}).pop(slot.id, None)
            if mine is None or not bounds.windows or (used is None and sent):
                continue
            gone = slot.at + self._travel + self._minute
            window.put("p", self._index(gone), -1, -slot.input, 0)
            window.put("p", self._index(gone + call), 0, 0, -slot.output)
            if sent and used is not None:
                at = (
                    now if over is None else min(now, slot.at + round((over - slot.asked) * SECOND))
                )
                arrived = min(slot.at + self._travel, at)
                window.put("s", self._index(arrived + self._minute), 1, used[0], 0)
                window.put("s", self._index(at + self._minute), 0, 0, used[1])
        return True

    def renew(self, deployment: str, tier: str, ids: Iterable[str]) -> bool:
        now, members = self._now(), list(ids)
        for key in (("deployment", deployment), ("tier", tier)):
            self._living(*key, now).update(dict.fromkeys(members, now + self._lease_us))
        return True

    def release(self, deployment: str, tier: str, ids: Iterable[str]) -> bool:
        members = list(ids)
        for key in (("deployment", deployment), ("tier", tier)):
            for member in members:
                self._slots.setdefault(key, {}).pop(member, None)
        return True

    def _index(self, at: int) -> int:
        return math.ceil(at / (self._minute / 240))

    def _enter(
        self, window: _Window, granted: Sequence[SlotRequest], call: float, now: int
    ) -> None:
        ends = now + self._travel + self._minute
        for want in granted:
            window.put("p", self._index(ends), 1, want.input, 0)
            window.put("p", self._index(ends + round(call * SECOND)), 0, 0, want.output)

    def _window(self, deployment: str, now: int) -> _Window:
        window = self._windows.setdefault(deployment, _Window({}))
        for key in [key for key in window.cells if key[1] * (self._minute / 240) <= now]:
            del window.cells[key]
        return window

    def _used(self, window: _Window) -> list[int]:
        requests, tokens_in, tokens_out = (
            sum(cell[part] for cell in window.cells.values()) for part in range(3)
        )
        return [requests, tokens_in + tokens_out, tokens_in, tokens_out, 0]

    def _leaves(self, window: _Window, dimension: int, over: int, now: int, just: bool) -> float:
        part = {0: (0,), 1: (1, 2), 2: (1,), 3: (2,)}[dimension]
        found = [
            (index * (self._minute / 240), sum(cell[n] for n in part), phase == "p")
            for (phase, index), cell in window.cells.items()
        ]
        found = sorted(entry for entry in found if entry[1] > 0)
        wait = float(self._minute)
        for at, much, _ in found:
            over -= much
            if over <= 0:
                wait = at - now
                break
        if not just and not any(pending for _, _, pending in found):
            return wait
        again = CHECK_AGAIN_SECONDS * SECOND
        soon = min(wait, again)
        return max(soon, wait - self._travel) if dimension == 0 else soon

    def _living(self, kind: str, name: str, now: int) -> dict[str, int]:
        slots = self._slots.setdefault((kind, name), {})
        for member in [member for member, ends in slots.items() if ends <= now]:
            del slots[member]
        return slots


def granted(limiter: Limiter | TwinLimiter, bounds: Bounds, wanted: Sequence[SlotRequest]) -> Grant:
    """What a worker is granted whose ledger knows of no call that Redis forgot."""
    grant = limiter.grant(bounds, wanted)
    if grant.forgotten and isinstance(limiter, Limiter):
        limiter.nothing_in_flight(bounds.deployment, bounds.tier, grant.forgotten)
        if RATE_FORGOTTEN in grant.forgotten:
            days = bounds.requests_per_day is not None
            limiter.restore(bounds, grant.forgotten_until, [], days)
        for shared, until in zip(bounds.shared, grant.shared_until, strict=True):
            limiter.nothing_in_flight(bounds.deployment, bounds.tier, (), [shared.key])
            if until:
                limiter.restore(bounds, until, [], shared.requests_per_day is not None, shared)
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

    def grant(self, bounds: Bounds, *wanted: SlotRequest) -> Grant:
        return granted(self.limiter, bounds, wanted)

    def ended(
        self,
        bounds: Bounds,
        grant: Grant,
        wanted: Sequence[SlotRequest],
        used: tuple[int, int] | None,
    ) -> None:
        """What was granted of those ``wanted`` has ended, each having used so much."""
        self.limiter.release_ended(bounds, [CallUsage(slot, used) for slot in grant.slots(wanted)])


def on_redis(client: redis.Redis, kind: type[Limiter] = Limiter) -> Bench:
    """The script as shipped, but for the one line that reads the server's clock."""
    prefix = f"t{next(names)}"
    told = f"redis.call('LRANGE', '{prefix}:clock', 0, 1)"
    assert all(script.count("redis.call('TIME')") == 1 for script in kind.scripts)

    class Told(kind):  # type: ignore[misc, valid-type]
        scripts = Scripts(*(text.replace("redis.call('TIME')", told) for text in kind.scripts))

    def turn(now: int) -> None:
        with client.pipeline() as pipe:
            pipe.delete(f"{prefix}:clock")
            pipe.rpush(f"{prefix}:clock", *(str(part) for part in divmod(now, SECOND)))
            pipe.execute()

    return Bench(Told(client, prefix, LEASE_SECONDS), turn)


def in_memory(kind: type[Limiter] = Limiter) -> Bench:
    clock = [0]

    def turn(now: int) -> None:
        clock[0] = now

    return Bench(TwinLimiter(lambda: clock[0], LEASE_SECONDS, kind), turn)
