"""The limiter's scripts, each put together from the parts it needs, and what they are told."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tierqueue.router.lifecycle import LIMITS, Wait
from tierqueue.workers.limits.bounds import FORGOTTEN, RATE_FORGOTTEN, TIER_FORGOTTEN, Bounds
from tierqueue.workers.limits.rates import Rates


def _script(*parts: str) -> str:
    return "".join(
        Path(__file__).with_name(f"{name}.lua").read_text(encoding="utf-8") for name in parts
    )


class Scripts(NamedTuple):
    """The scripts, each whole."""

    grant: str = _script("remembered", "windows", "learned", "limiter")
    renew: str = _script("remembered", "renew")
    settle: str = _script("remembered", "windows", "learned", "settle")
    restore: str = _script("remembered", "windows", "restore")


class Entry(NamedTuple):
    """What still counts of calls made before: how it stands in ``windows.lua``, for how many
    seconds from now, and its requests, input and output tokens.
    """

    phase: str
    stands: float
    requests: int
    input: int
    output: int


class Keys:
    """The keys of each scope behind one Redis; ``prefix`` begins every one.

    The scopes are the deployment, its tier, and what its calls share with others' (``shared``, by
    their keys).
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def all_of(self, bounds: Bounds) -> list[str]:
        """Of each scope its windows, its calls in flight, what is known of those."""
        shared = [one.key for one in bounds.shared]
        of_each = zip(
            self.windows(bounds.deployment, bounds.tier, shared),
            self.slots(bounds.deployment, bounds.tier, shared),
            self.memory(bounds.deployment, bounds.tier, shared),
            strict=True,
        )
        return [key for scope in of_each for key in scope]

    def windows(self, deployment: str, tier: str, shared: Iterable[str] = ()) -> list[str]:
        """Where the windows of each scope stand."""
        return self._named("windows", deployment, tier, shared)

    def memory(self, deployment: str, tier: str, shared: Iterable[str] = ()) -> list[str]:
        """Where stands what is known of each scope's calls in flight."""
        return self._named("known", deployment, tier, shared)

    def slots(self, deployment: str, tier: str, shared: Iterable[str] = ()) -> list[str]:
        """Where each scope's calls in flight stand."""
        return self._named("calls", deployment, tier, shared)

    def _named(self, what: str, deployment: str, tier: str, shared: Iterable[str]) -> list[str]:
        own = (f"{what}:{deployment}", f"tier-{what}:{tier}")
        return [f"{self._prefix}:{key}" for key in (*own, *(f"shared-{what}:{s}" for s in shared))]


def scopes_of(bounds: Bounds) -> list[str | int]:
    """What ``limiter.lua`` is told of each scope."""
    own = (Wait.IN_FLIGHT, FORGOTTEN, RATE_FORGOTTEN)
    told = [*_scope(bounds, bounds.windows, bounds.call), *map(bit_of, own), "", bounds.since]
    tier = Rates(in_flight=bounds.tier_in_flight)
    told += *_scope(tier, False, 0.0), bit_of(Wait.TIER_IN_FLIGHT), bit_of(TIER_FORGOTTEN), 0, "", 0
    for one in bounds.shared:
        told += _scope(one, True, max(one.call, bounds.call))
        told += map(bit_of, (one.calls_full, one.forgotten, one.forgotten, one.rate_full))
        told.append(one.since)
    return told


def _scope(rates: Rates, windows: bool, call: float) -> list[str | int]:
    limits = (*rates.rates, rates.in_flight)
    return [*("" if most is None else most for most in limits), int(windows), micro(call)]


def micro(seconds: float) -> int:
    """The microseconds that scripts count in."""
    return round(seconds * 1_000_000)


def bit_of(limit: Wait) -> int:
    """How scripts say that this limit stopped a call."""
    return 1 << LIMITS.index(limit)
