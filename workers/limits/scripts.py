"""The limiter's scripts, each put together from the parts it needs, and what they are told."""

from pathlib import Path
from typing import NamedTuple

from tierqueue.router.lifecycle import LIMITS, Wait
from tierqueue.router.policy.duration import microseconds
from tierqueue.workers.limits.bounds import FORGOTTEN, RATE_FORGOTTEN, TIER_FORGOTTEN, Bounds
from tierqueue.workers.limits.rates import Rates


def _script(*parts: str) -> str:
    return "".join(
        Path(__file__).with_name(f"{name}.lua").read_text(encoding="utf-8") for name in parts
    )


class Scripts(NamedTuple):
    """The scripts, each whole."""

    grant: str = _script("calls_in_flight", "windows", "learned_limits", "limiter")
    renew: str = _script("calls_in_flight", "renew")
    settle: str = _script("calls_in_flight", "windows", "learned_limits", "settle")
    restore: str = _script("calls_in_flight", "windows", "restore")


class WindowEntry(NamedTuple):
    """What still counts of calls made before: how it stands in ``windows.lua``, for how many
    seconds from now, and its requests, input and output tokens.
    """

    phase: str
    stands: float
    requests: int
    input: int
    output: int


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
    return [*("" if most is None else most for most in limits), int(windows), microseconds(call)]


def bit_of(limit: Wait) -> int:
    """How scripts say that this limit stopped a call."""
    return 1 << LIMITS.index(limit)
