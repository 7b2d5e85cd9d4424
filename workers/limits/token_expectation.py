"""The tokens that calls are expected to use of their bounds, by what their kind used lately.

A bound takes each byte of a prompt for a token and each answer for as long as it may be. Of a call
in flight that holds a place which another could have.
"""

import json
import math
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import lru_cache

import redis

from tierqueue.tasks.broker.names import LimiterKeys
from tierqueue.workers.limits.bounds import CallUsage, SlotRequest

FEWEST = 100
"""Calls of a kind before anything less than its bound is expected of the next."""

LATELY = 500
"""The last calls of a kind that count."""

KEPT = 2000
"""The last calls of a deployment that its workers tell each other of."""

AGAIN_SECONDS = 10.0
"""Seconds until a process that has seen too little asks again what the others have."""

KEY_LIFE_SECONDS = 3600
"""Seconds for which that is kept after the last of them."""

PERCENT = 110
"""Of the most that they used."""

_SIZES = 4
"""Sizes that are told apart between a bound and twice as much: a longer prompt uses another part
of its bound."""

_Kind = tuple[str, str, int]


class TokenExpectation:
    """What the workers behind one Redis have seen; safe for threads.

    Input and output are expected each for itself, of calls of one task type at one deployment whose
    bounds are alike. A process goes by what it has seen itself, and by what the others have where
    it knows too little.
    """

    def __init__(self, client: redis.Redis, keys: LimiterKeys) -> None:
        self._client = client
        self._keys = keys
        self._lock = threading.Lock()
        self._unused: dict[tuple[str, str, str, int], deque[int]] = {}
        self._asked: dict[str, float] = {}

    def learn(self, deployment: str, ended: Iterable[CallUsage]) -> None:
        """Calls have ended; of those that are known what they used is noted, also for the others.

        One that used nothing was refused before it counted, and says nothing. Where Redis gives no
        answer, only this process knows.
        """
        seen: list[tuple[SlotRequest, tuple[int, int]]] = []
        for slot, used, sent, _, _, cached in ended:
            if slot.want is not None and slot.want.task and used is not None and sent and used[0]:
                seen.append((slot.want, (used[0] + cached, used[1])))
        if not seen:
            return
        self._note(deployment, seen)
        names = {task: json.dumps(task) for task in {one.task for one, _ in seen}}
        told = [
            f"[{names[one.task]}, {one.tokens}, {one.output}, {read}, {written}]"
            for one, (read, written) in seen
        ]
        key = self._keys.expected(deployment)
        with suppress(redis.RedisError), self._client.pipeline(transaction=False) as pipe:
            pipe.lpush(key, *told)
            pipe.ltrim(key, 0, KEPT - 1)
            pipe.expire(key, KEY_LIFE_SECONDS)
            pipe.execute()

    def _note(self, deployment: str, seen: Iterable[tuple[SlotRequest, tuple[int, int]]]) -> None:
        alike: dict[tuple[str, int, int], list[tuple[int, int]]] = defaultdict(list)
        for want, used in seen:
            alike[want.task, want.tokens, want.output].append(used)
        with self._lock:
            for (task, tokens, output), several in alike.items():
                want = SlotRequest("", tokens, output, task)
                bounds, figures = (want.input, want.output), zip(*several, strict=True)
                for kind, bound, much in zip(_kinds(want), bounds, figures, strict=True):
                    its = self._unused.setdefault((deployment, *kind), deque(maxlen=LATELY))
                    its.extend(bound - one for one in much)

    def _ask_others(self, deployment: str, kinds: Iterable[_Kind]) -> None:
        """Take what all have seen, where this process has seen too little."""
        now = time.monotonic()
        with self._lock:
            few = any(kind[0] and self._few(deployment, kind) for kind in kinds)
            if not few or now - self._asked.get(deployment, -AGAIN_SECONDS) < AGAIN_SECONDS:
                return
            self._asked[deployment] = now
        with suppress(redis.RedisError, ValueError, TypeError):
            # Redis is typed for its asynchronous client too.
            told: list[bytes] = self._client.lrange(self._keys.expected(deployment), 0, -1)  # type: ignore[assignment]
            seen = []
            for task, tokens, output, read, written in map(json.loads, reversed(told)):
                if min(read, written) < 0:
                    raise ValueError("nothing of ours")
                seen.append((SlotRequest("", tokens, output, str(task)), (int(read), int(written))))
            with self._lock:
                for kind in [kind for kind in self._unused if kind[0] == deployment]:
                    del self._unused[kind]
            self._note(deployment, seen)

    def _few(self, deployment: str, kind: _Kind) -> bool:
        return len(self._unused.get((deployment, *kind), ())) < FEWEST

    def of(self, deployment: str, wanted: Sequence[SlotRequest]) -> dict[str, tuple[int, int]]:
        """The most tokens of input and output that calls are expected to use, by their ids; no more
        than their bounds, and those where too little is known of a task type.
        """
        kinds_of = {want.id: _kinds(want) for want in wanted}
        kinds = {kind for pair in kinds_of.values() for kind in pair}
        self._ask_others(deployment, kinds)
        least: dict[_Kind, int] = {}
        with self._lock:
            for kind in kinds:
                few = self._few(deployment, kind)
                least[kind] = 0 if few else min(self._unused[(deployment, *kind)])
        return {
            want.id: (
                _most(want.input, least[kind_of_input]),
                _most(want.output, least[kind_of_output]),
            )
            for want in wanted
            for kind_of_input, kind_of_output in [kinds_of[want.id]]
        }


def _kinds(want: SlotRequest) -> tuple[_Kind, _Kind]:
    """The kinds of a call's input and output."""
    return (want.task, "input", _size(want.input)), (want.task, "output", _size(want.output))


def _most(bound: int, unused: int) -> int:
    return max(0, min(bound, -(-(bound - unused) * PERCENT // 100)))


@lru_cache(maxsize=4096)
def _size(bound: int) -> int:
    return math.floor(math.log2(bound + 1) * _SIZES)
