"""The contract of an engine: one call in, one reply out, nothing raised, nothing retried."""

import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol, TypeGuard, runtime_checkable

from tierqueue.router.outcome import PerMinute, Reply, Usage


@dataclass(frozen=True, slots=True)
class SentImage:
    """An image of a call: its hash, its media type, and once they were read its bytes."""

    sha256: str
    media_type: str
    body: bytes = field(default=b"", repr=False)

    @property
    def base64(self) -> str:
        """The bytes as they are sent."""
        return b64encode(self.body).decode("ascii")


# Not frozen: of so many fields that takes four times as long to make. Nobody changes one.
@dataclass(slots=True, kw_only=True)
class Call:
    """One request to a deployment.

    ``system`` and ``prefix`` come first and are shared by the items of a slice, ``question``
    last, so that a prompt cache can serve the shared part. ``schema`` is the JSON schema that the
    provider is to enforce, in its own subset; without one, ``json_object`` asks for its JSON mode.
    ``alternatives``: the probability of each token of the answer is asked for, and those of so many
    others in its place; ``None`` asks for none. ``temperature``: ``None`` leaves it to the server.
    ``flex``: the provider's service tier of that name is asked.
    ``output_limit`` is in tokens, reasoning among them, ``timeout`` in seconds. ``first_token``:
    the answer is asked for as a stream, and its first token is to come within so many seconds;
    ``None`` asks for it whole. ``labels`` travel as request headers beside item and fence; never a
    payload. ``send_by``, by the monotonic clock: what has not left by then may not leave any more,
    for its slot and its lease may be another's. ``engine_seconds``: once it has had so many of an
    engine of the house it is ended. ``adapter``: by which LoRA adapter an engine of the house
    answers. ``originals``: what each pseudonym in it stands
    for; it is never sent. ``images`` are sent before the question.
    """

    item: str
    fence: int
    model: str
    system: str
    prefix: str
    question: str
    schema: Mapping[str, Any] | None
    schema_name: str
    output_limit: int
    timeout: float
    first_token: float | None = None
    json_object: bool = False
    alternatives: int | None = None
    temperature: float | None = None
    flex: bool = False
    send_by: float = math.inf
    engine_seconds: float = math.inf
    adapter: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    originals: Mapping[str, str] = field(default_factory=dict, repr=False)
    images: Sequence[SentImage] = field(default=(), repr=False)


class Engine(Protocol):
    """A way to reach one deployment's models. All methods run on the worker's one event loop."""

    async def start(self) -> None:
        """Make ready to serve; raises ``Misconfigured`` when that is impossible."""

    async def complete(self, call: Call) -> Reply:
        """Make one call and say what came of it.

        Never raises for what a provider or network does, never retries, never sleeps for a
        Retry-After. A call that is cancelled (``asyncio.CancelledError``) aborts the request and
        lets the cancellation through: only the caller knows whether it must be booked.
        """

    def spent(self, call: Call) -> Usage:
        """What a call that was cancelled has taken of an engine of the house; asked once."""

    async def failed(self) -> str:
        """Return why the engine can serve no more, once that is so; most engines never do."""

    async def close(self) -> None:
        """Release what ``start`` took; safe to call twice."""


@runtime_checkable
class CachingEngine(Protocol):
    """An engine whose provider caches prefixes that calls share."""

    def cached_prefix(self, call: Call) -> str | None:
        """Names what of the call its provider caches; ``None`` where that is nothing."""


def caches(engine: Engine) -> TypeGuard[CachingEngine]:
    """Whether it is one. Asked of each call: to look for a protocol's members takes 12 us."""
    return _is_caching(type(engine))


@cache
def _is_caching(kind: type[Engine]) -> bool:
    return issubclass(kind, CachingEngine)


@runtime_checkable
class RateLimitedEngine(Protocol):
    """An engine whose provider states limits; ``rates`` are those of its last reply that did."""

    rates: PerMinute | None
