"""Limits learned from replies: kept at the broker, and in the ledger for when that forgets."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress

import redis

from tierqueue.ledger.in_force import learned_limits
from tierqueue.ledger.in_force.learned_limits import REFUSED, TOLD, LearnedLimit
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.router.outcome import DIMENSIONS, PerMinute
from tierqueue.router.policy.duration import SECOND_US
from tierqueue.tasks.broker.names import LimiterKeys

KEY_LIFE_SECONDS = 3600
"""Seconds it is kept at the broker after its last change."""

TOLD_AGAIN_SECONDS = 30.0
"""Seconds after which limits that a provider states are told again, though they did not change."""

EVERY_SECONDS = 2.0
"""Seconds between two looks for what the ledger does not know yet."""

NAMES = tuple(f"{dimension}_per_minute" for dimension in DIMENSIONS)
"""The limits that are learned, as the policy calls them."""

_REFUSED = ("low", "tries", "cut")

_MOMENT_US = 10 * SECOND_US
"""Microseconds that two clocks may differ in."""


class LearnedLimits:
    """What ``learned_limits.lua`` keeps of each deployment; safe for threads."""

    def __init__(self, client: redis.Redis, keys: LimiterKeys) -> None:
        self._client = client
        self._keys = keys
        self._told: dict[str, tuple[float, PerMinute]] = {}

    def note_stated(self, deployment: str, rates: PerMinute) -> None:
        """Bound a deployment by what its provider states, over all workers from the next grant on.

        Where Redis gives no answer nothing changes, and it is told again with the next call.
        """
        at, before = self._told.get(deployment, (-TOLD_AGAIN_SECONDS, None))
        if rates == before and time.monotonic() - at < TOLD_AGAIN_SECONDS:
            return
        key = self._keys.learned(deployment)
        with suppress(redis.RedisError), self._client.pipeline() as pipe:
            for number, rate in enumerate(rates, 1):
                pipe.hset(key, f"told{number}", "" if rate is None else str(rate))
            pipe.expire(key, KEY_LIFE_SECONDS)
            pipe.execute()
            self._told[deployment] = time.monotonic(), rates

    def of(self, deployments: Iterable[str]) -> tuple[list[LearnedLimit], int]:
        """All that is known of each deployment, and what Redis's clock says (microseconds).

        What a provider states is known since now. Raises ``redis.RedisError`` without an answer.
        """
        names = list(deployments)
        with self._client.pipeline() as pipe:
            pipe.time()
            for deployment in names:
                pipe.hgetall(self._keys.learned(deployment))
            (seconds, micro), *found = pipe.execute()
        now = seconds * SECOND_US + micro
        return [
            limit
            for deployment, fields in zip(names, found, strict=True)
            for limit in _limits(deployment, fields, now)
        ], now

    def remember(self, deployment: str, limits: Iterable[LearnedLimit], now: int) -> None:
        """Take from the ledger, whose clock says ``now``, what Redis does not know.

        Where Redis gives no answer nothing changes.
        """
        # Said again by the next reply, too: this may be old.
        self._told.pop(deployment, None)
        key = self._keys.learned(deployment)
        with suppress(redis.RedisError):
            seconds, micro = self._client.time()
            ahead = seconds * SECOND_US + micro - now
            with self._client.pipeline() as pipe:
                for limit in limits:
                    number = NAMES.index(limit.name) + 1
                    if limit.how == TOLD:
                        pipe.hsetnx(key, f"told{number}", str(limit.rate))
                        continue
                    values = (limit.rate, limit.rate, limit.tries, limit.at + ahead)
                    for name, value in zip(("was", *_REFUSED), values, strict=True):
                        pipe.hsetnx(key, f"{name}{number}", str(value))
                pipe.expire(key, KEY_LIFE_SECONDS)
                pipe.execute()


def _limits(deployment: str, fields: dict[bytes, bytes], now: int) -> Iterator[LearnedLimit]:
    def number(name: str, dimension: int) -> int | None:
        text = fields.get(f"{name}{dimension}".encode(), b"")
        return int(text) if text.isdigit() and len(text) < 17 else None

    for dimension, name in enumerate(NAMES, 1):
        if f"told{dimension}".encode() in fields:
            yield LearnedLimit(deployment, name, TOLD, number("told", dimension) or None, 0, now)
        rate, tries, cut = (number(name, dimension) for name in _REFUSED)
        if rate and tries and cut:
            yield LearnedLimit(deployment, name, REFUSED, rate, min(tries, 99), cut)


class LearnedLimitsWriter:
    """Writes into the ledger what was learned of the deployments that a process serves."""

    def __init__(
        self, ledger: Ledger, learned: LearnedLimits, deployments: Callable[[], Collection[str]]
    ) -> None:
        self._ledger = ledger
        self._learned = learned
        self._deployments = deployments
        self._seen: frozenset[LearnedLimit] = frozenset()

    def tick(self) -> None:
        """Write what the ledger does not know yet, if anything has changed since the last tick."""
        try:
            found, at = self._learned.of(self._deployments())
        except redis.RedisError:
            return
        seen = frozenset(_alike(limit) for limit in found)
        if seen == self._seen:
            return
        with self._ledger.read() as connection:
            ahead = database_now(connection) - at
            known = {limit[:3]: limit for limit in learned_limits.all_learned(connection)}
        there = [limit._replace(at=limit.at + ahead) for limit in found]
        news = [limit for limit in there if _is_new(limit, known.get(limit[:3]))]
        if news:
            with self._ledger.write() as connection:
                learned_limits.write(connection, news)
        self._seen = seen


def _alike(limit: LearnedLimit) -> LearnedLimit:
    """What makes it another one: of what a provider states, the time is none."""
    return limit._replace(at=limit.at // _MOMENT_US if limit.how == REFUSED else 0)


def _is_new(limit: LearnedLimit, known: LearnedLimit | None) -> bool:
    if known is None:
        return limit.rate is not None
    since = limit.at - known.at if limit.how == REFUSED else 0
    return limit[:5] != known[:5] or since > _MOMENT_US
