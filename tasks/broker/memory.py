"""The broker's memory beside its messages, which it may lose: results, and keys of ours.

``backend`` is the application's result backend. All of this raises the broker's own errors, which
``is_away`` knows.
"""

import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from tierqueue.tasks.broker import names

_AT_ONCE = 256
"""Keys of one command or script; the broker serves nobody else meanwhile."""

_AWAKE_MILLISECONDS = 1000
"""How long a routing stage that died while it was looking keeps wakes from being sent."""

_MENDING_SECONDS = 60
"""How long one process may take for a page of mending before another begins."""

_STORE = """
local function succeeded(meta)
    return string.find(meta, '{"status": "SUCCESS"', 1, true) == 1
end
for index, key in ipairs(KEYS) do
    local value, expires = ARGV[2 * index - 1], tonumber(ARGV[2 * index])
    local before = not succeeded(value) and redis.call('GET', key)
    if not (before and succeeded(before)) then
        if expires > 0 then
            redis.call('SET', key, value, 'EX', expires)
        else
            redis.call('SET', key, value)
        end
        redis.call('PUBLISH', key, value)
    end
end
"""
"""As Celery, it puts nothing over an answer: whoever tells late of a death that was replayed."""

_GROW = """
local beat = redis.call('GET', KEYS[1])
if not beat or tonumber(beat) < tonumber(ARGV[1]) then
    redis.call('SET', KEYS[1], ARGV[1])
    return ARGV[1]
end
return beat
"""


def is_away(error: Exception) -> bool:
    """Whether this says that the broker gave no answer, or refused one."""
    # Imported where it is needed: whoever has not asked a broker yet has no need of it.
    from redis.exceptions import RedisError

    return isinstance(error, (RedisError, OSError))


def store_results(backend: Any, results: Sequence[tuple[str, str, int | None]]) -> None:
    """What ``RedisBackend.store_result`` writes and publishes, for many results at once.

    Each a Celery id, the result as JSON, and for how many seconds the broker holds it.
    """
    store = backend.client.register_script(_STORE)
    for start in range(0, len(results), _AT_ONCE):
        part = results[start : start + _AT_ONCE]
        store(
            keys=[backend.get_key_for_task(call_id) for call_id, _, _ in part],
            args=[value for _, meta, expires in part for value in (meta, expires or 0)],
        )


def forget_results(backend: Any, call_ids: Iterable[str]) -> None:
    """Delete the results of these Celery ids."""
    keys = [backend.get_key_for_task(call_id) for call_id in call_ids]
    for start in range(0, len(keys), _AT_ONCE):
        backend.client.delete(*keys[start : start + _AT_ONCE])


def forget_soon(backend: Any, call_id: str, seconds: int) -> None:
    """Delete the result of this Celery id after ``seconds``."""
    backend.client.expire(backend.get_key_for_task(call_id), seconds)


def answers(backend: Any) -> None:
    """Return if the broker answers."""
    backend.client.ping()


def takes_writes(backend: Any) -> None:
    """Return if the broker takes writes: a replica does not, nor one whose memory is full."""
    backend.client.set(names.WRITTEN, 1, px=1)


def trim_announced(backend: Any, queue: str, most: int) -> None:
    """Drop all but the newest messages of a queue that nobody reads."""
    # The newest stand on the left.
    backend.client.ltrim(queue, 0, most - 1)


def is_awake(backend: Any) -> bool:
    """Whether a routing stage is looking anyway, so that no wake would change anything."""
    return bool(backend.client.exists(names.AWAKE))


def mark_awake(backend: Any, awake: bool) -> None:
    """Tell producers whether a routing stage is looking anyway; good for a second at most."""
    if awake:
        backend.client.set(names.AWAKE, 1, px=_AWAKE_MILLISECONDS)
    else:
        backend.client.delete(names.AWAKE)


class Continuity:
    """Whether the broker still remembers what it was told, by its epoch and its beat."""

    def __init__(self, backend: Any) -> None:
        self._client = backend.client
        self._grow = self._client.register_script(_GROW)

    def read(self) -> tuple[bool, int | None]:
        """Whether it has an epoch, and its beat (the ledger's epoch microseconds)."""
        epoch, beat = self._client.mget(names.EPOCH, names.BEAT)
        return epoch is not None, None if beat is None else int(beat)

    def beat(self, now: int) -> int:
        """Let the beat grow to ``now``; returns where it stands."""
        return int(self._grow(keys=[names.BEAT], args=[now]))

    def mending(self) -> Any:
        """The lock of whoever tells the broker again what it forgot; to be acquired and renewed."""
        return self._client.lock(names.MENDING, timeout=_MENDING_SECONDS, blocking=False)

    def begin(self, now: int) -> None:
        """Give it an epoch where it has none, and a beat anew."""
        self._client.set(names.EPOCH, uuid.uuid4().hex, nx=True)
        self._client.set(names.BEAT, now)
