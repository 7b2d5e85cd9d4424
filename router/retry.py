"""After a call that brought no answer: again when, or the end. Decisions are values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from tierqueue.router.outcome import LOST_ON_THE_WAY, Failed, Throttled, Unknown
from tierqueue.router.policy.tables import RetryPolicy

LONGEST_WAIT = 86_400.0
"""The most seconds that a Retry-After is believed: after a day it may be asked again."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again in ``delay`` seconds; the item waits in the ledger, not in a worker."""

    delay: float


@dataclass(frozen=True, slots=True)
class End:
    """A dead letter with this reason; ``message`` and ``fields`` are its error's."""

    reason: str
    message: str
    fields: Mapping[str, Any] = field(default_factory=dict)


def _backoff(policy: RetryPolicy, times: int) -> float:
    """Seconds before the ``times``-th next try at the most (``times`` counts from 1)."""
    return min(policy.cap, policy.base * 2.0 ** min(times - 1, 64))


def after_failure(failed: Failed, calls: int, policy: RetryPolicy, draw: float) -> Retry | End:
    """What follows a failed call.

    ``calls`` counts the calls made over the item's life, this one included; ``draw`` is uniform
    in [0, 1): the delay is full jitter, anywhere between nothing and the backoff.
    """
    last = {"last": {"kind": failed.kind, "message": failed.message}, "calls": calls}
    why = f"{failed.kind}: {failed.message}"
    if not failed.transient:
        message = f"The call failed for good ({why}). Mend the cause, then replay the dead letter."
        return End(failed.reason, message, last)
    if calls >= policy.calls:
        message = (
            f"All {policy.calls} calls that the policy allows are used up; the last failed "
            f"({why}). Replay the dead letter when the cause is gone."
        )
        return End("exhausted", message, last)
    return Retry(draw * _backoff(policy, calls))


def after_throttle(throttled: Throttled, throttles: int, policy: RetryPolicy, draw: float) -> Retry:
    """When to ask again after "not now"; it is not an attempt, so it never ends the item.

    ``throttles`` counts those in a row, this one included. Never sooner than a stated
    Retry-After of up to ``LONGEST_WAIT``; without one, between half the backoff and the whole.
    """
    after = throttled.after
    if after is not None and isfinite(after) and after >= 0:
        return Retry(min(after, LONGEST_WAIT) + draw * policy.base)
    return Retry(_backoff(policy, throttles) * (1 + draw) / 2)


def after_unavailable(times: int, policy: RetryPolicy, draw: float) -> Retry:
    """When to ask again a deployment that could not serve; it is no attempt and ends no item.

    ``times`` counts how often the item was turned away, this time included.
    """
    return Retry(_backoff(policy, times) * (1 + draw) / 2)


def after_unknown(
    unknown: Unknown,
    policy: RetryPolicy,
    calls: int,
    draw: float,
    *,
    metered: bool,
    outage: bool = False,
) -> Retry | End:
    """What follows a call whose reply is lost and that counts as the item's.

    Where a vendor may have billed it (``metered``) the policy says whether another call may be
    paid for; a lost call to an engine of the house is tried again within the retry budget.
    ``outage``: nobody else is served either.
    """
    if metered and not may_pay_again(unknown, policy, outage=outage):
        message = (
            f"A paid call may have been billed and its reply is lost ({unknown.kind}); its hold is "
            "booked as spent. Replay the dead letter if a second charge is acceptable."
        )
        return End("unknown", message, {"calls": calls})
    if calls >= policy.calls:
        message = (
            f"All {policy.calls} calls that the policy allows are used up; the last one's reply "
            f"is lost ({unknown.kind}). Replay the dead letter to try again."
        )
        return End("unknown" if metered else "exhausted", message, {"calls": calls})
    return Retry(draw * _backoff(policy, calls))


def may_pay_again(unknown: Unknown, policy: RetryPolicy, *, outage: bool) -> bool:
    """Whether the policy pays for another call after this one.

    ``outage``: nobody else is served either, so that a time limit need not be the item's fault.
    """
    if policy.unknown == "retry_outage":
        return unknown.kind in LOST_ON_THE_WAY or (outage and unknown.kind == "timeout")
    return policy.unknown == "retry"


def after_lost_claim(
    lost: int, policy: RetryPolicy, draw: float, *, paid_call_begun: bool = False
) -> Retry | End:
    """What follows a claim that ended without a settle (its worker died or hung).

    ``lost`` counts them over the item's life, this one included. ``paid_call_begun``: a metered
    call had been started under the claim, so that its charge is unknown.
    """
    if paid_call_begun and policy.unknown != "retry":
        message = (
            "A worker was lost during a paid call, which may have been billed; its hold is booked "
            "as spent. Replay the dead letter if a second charge is acceptable."
        )
        return End("unknown", message, {"lost_claims": lost})
    if lost >= policy.poison:
        message = (
            f"{lost} workers were lost while they held this item, so it is kept away from others. "
            "Look at the attempts, then replay or discard the dead letter."
        )
        return End("poison", message, {"lost_claims": lost})
    return Retry(draw * _backoff(policy, lost))
