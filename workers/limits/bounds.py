"""The limiter's terms: bounds, calls wanted, grants, calls that ended."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tierqueue.router.errors import InvalidPolicy
from tierqueue.router.lifecycle import Wait
from tierqueue.router.outcome import Dimension, PerMinute
from tierqueue.router.policy.deployment import Deployment, Limits, token_burst
from tierqueue.workers.limits.rates import Rates, SharedRates

FORGOTTEN, TIER_FORGOTTEN = Wait.IN_FLIGHT_FORGOTTEN, Wait.TIER_IN_FLIGHT_FORGOTTEN
"""Redis does not know all calls in flight, of the deployment or of the tier."""

RATE_FORGOTTEN = Wait.RATE_FORGOTTEN
"""Redis does not know all that the deployment was asked for within its windows."""

_FORGOTTEN = frozenset(
    {FORGOTTEN, TIER_FORGOTTEN, RATE_FORGOTTEN, Wait.ACCOUNT_FORGOTTEN, Wait.BUDGET_FORGOTTEN}
)
_CALLS = frozenset(
    {Wait.IN_FLIGHT, Wait.TIER_IN_FLIGHT, FORGOTTEN, TIER_FORGOTTEN, Wait.ACCOUNT_IN_FLIGHT}
)
"""What the next call that ends may free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds(Rates):
    """What a deployment states, and what its calls share with others (``shared``).

    ``counted``: what it is asked for is counted even where no rate bounds it. ``trial``: it is
    tried by one call, which what was learned of it does not bind. ``call`` is how long its calls
    take at most, in seconds. Raises ``InvalidPolicy`` for bounds that let nothing through.
    """

    deployment: str
    tier: str
    tier_in_flight: int | None = None
    counted: bool = False
    trial: bool = False
    call: float = 60.0
    shared: tuple[SharedRates, ...] = ()

    def __post_init__(self) -> None:
        for limit in (*self.rates, self.token_burst):
            if limit is not None and limit < 1:
                raise self._wrong("a limit of requests or tokens must be at least 1")
        if min(self.in_flight or 0, self.tier_in_flight or 0) < 0:
            raise self._wrong("calls in flight cannot be negative")

    @property
    def windows(self) -> bool:
        """Whether what it is asked for is counted."""
        return self.counted or self.rated

    @property
    def free(self) -> bool:
        """Whether nothing at all is bounded, nor counted."""
        calls = (self.in_flight, self.tier_in_flight)
        return not self.windows and not self.shared and calls == (None, None)

    def holds(self, want: "SlotRequest") -> bool:
        """Whether a call can ever be granted."""
        own = self.allows(want.tokens, want.output)
        return own and all(one.allows(want.tokens, want.output) for one in self.shared)

    def _wrong(self, what: str) -> InvalidPolicy:
        return InvalidPolicy(
            f"deployment {self.deployment}: {what}", {"deployment": self.deployment}
        )


def bounds_of(
    deployment: Deployment,
    tier_in_flight: int | None,
    chosen: Mapping[str, int] | None = None,
    since: int = 0,
) -> Bounds:
    """What a deployment's policy states, or an operator has ``chosen`` in its place, by the limits'
    names, ``since`` when (epoch microseconds); and its tier's calls in flight.
    """
    limits = deployment.limits.model_copy(update=chosen) if chosen else deployment.limits
    tokens = limits.tokens_per_minute
    return Bounds(
        deployment=deployment.name,
        tier=deployment.tier.value,
        requests_per_minute=limits.requests_per_minute,
        tokens_per_minute=limits.tokens_per_minute,
        input_tokens_per_minute=limits.input_tokens_per_minute,
        output_tokens_per_minute=limits.output_tokens_per_minute,
        requests_per_day=limits.requests_per_day,
        token_burst=None if tokens is None else token_burst(tokens, deployment.context_window),
        in_flight=limits.in_flight,
        tier_in_flight=tier_in_flight,
        counted=(counted := deployment.engine != "vllm"),
        since=0 if counted or deployment.limits != Limits() else since,
        call=deployment.longest_call,
    )


@dataclass(frozen=True, slots=True)
class SlotRequest:
    """One call asked for: a slot id no other call bears, and the most tokens it may cost.

    ``output`` is the most of them that may be output. ``task`` is the item's task type, empty
    where it is not known.
    """

    id: str
    tokens: int
    output: int = 0
    task: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.output <= self.tokens:
            raise ValueError(
                f"a call cannot want {self.tokens} tokens, and {self.output} of them output"
            )

    @property
    def input(self) -> int:
        """The most tokens of input."""
        return self.tokens - self.output


class Slot(NamedTuple):
    """What one granted call holds: its id, when it was granted (the server's µs), the tokens it
    counts by, whether it is one on trial, when it was asked for, in monotonic seconds of this
    process, the keys of what it counts in beside its deployment, and what it was wanted for.
    """

    id: str
    at: int
    input: int
    output: int
    trial: bool = False
    asked: float = 0.0
    shared: tuple[str, ...] = ()
    want: SlotRequest | None = None


class CallUsage(NamedTuple):
    """A call that ended: its slot, tokens of input and output where they are known, was it sent,
    which limit its provider refused it for, and when it had ended at the latest, in monotonic
    seconds of this process (``None``: now). What was refused took nothing of any limit. ``cached``
    are tokens of input beside those, which count in none, since the provider's cache served them.
    """

    slot: Slot
    used: tuple[int, int] | None = None
    sent: bool = True
    refused: Dimension | None = None
    over: float | None = None
    cached: int = 0


class ScopeUsage(NamedTuple):
    """A deployment as the limiter last saw it, ``at`` by the monotonic clock: what was used of its
    minute, and what was learned of its limits.
    """

    at: float
    used: PerMinute
    learned: PerMinute

    def heartbeat_detail(self, now: float) -> dict[str, Any]:
        """As the heartbeat tells it, by the policy's names; ``now`` by the same clock."""
        return {
            "ago": round(now - self.at, 1),
            "used": _named(self.used),
            "learned": _named(self.learned),
        }


def _named(rates: PerMinute) -> dict[str, int]:
    known = rates._asdict().items()
    return {f"{name}_per_minute": rate for name, rate in known if rate is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What may be called now: the first ``len(granted)`` of those wanted that can ever fit.

    ``retry_after`` is in seconds, 0 when all were granted; for what may come back sooner it is only
    when to look again. ``full`` are the limits that stopped the next one, the rates first.
    ``never`` holds ids of more tokens than any window: no waiting helps them, and they block
    nobody. ``at`` is when it was decided (the server's µs), ``forgotten_until`` until when what was
    granted before may still arrive (the same; 0: all is known), ``shared_until`` the same of each
    in ``shared``. ``send_by``, in monotonic seconds: what is granted has to leave by then, or may
    not any more. ``asked``: when it was asked for, by the same clock. ``held``: the tokens of input
    and output that those count by which are expected to use less than their bounds.
    """

    granted: tuple[str, ...]
    retry_after: float = 0.0
    full: tuple[Wait, ...] = ()
    never: tuple[str, ...] = ()
    at: int = field(default=0, compare=False)
    trial: bool = field(default=False, compare=False)
    forgotten_until: int = field(default=0, compare=False)
    shared: tuple[str, ...] = field(default=(), compare=False)
    shared_until: tuple[int, ...] = field(default=(), compare=False)
    send_by: float = field(default=math.inf, compare=False)
    asked: float = field(default=0.0, compare=False)
    held: Mapping[str, tuple[int, int]] = field(default_factory=dict, compare=False)

    @property
    def busy(self) -> bool:
        """Whether only calls in flight stand in the way: the next one to end frees capacity."""
        return set(self.full) <= _CALLS

    @property
    def forgotten(self) -> frozenset[Wait]:
        """Which of the things that Redis may forget it does not know whole."""
        return _FORGOTTEN & frozenset(self.full)

    def slots(self, wanted: Sequence[SlotRequest]) -> list[Slot]:
        """What the granted ones of those ``wanted`` hold."""
        granted = set(self.granted)
        return [self._slot(want) for want in wanted if want.id in granted]

    def _slot(self, want: SlotRequest) -> Slot:
        held = self.held.get(want.id, (want.input, want.output))
        return Slot(want.id, self.at, *held, self.trial, self.asked, self.shared, want)
