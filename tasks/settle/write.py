"""The writes of a call that ended, for the ledger: its charge, and where its item goes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, NamedTuple

from tierqueue.ledger.in_force.evidence import JudgedAnswer
from tierqueue.ledger.lifecycle.claims import Claim
from tierqueue.ledger.lifecycle.settlements import Settlement
from tierqueue.router.condition import Condition
from tierqueue.router.lifecycle import State
from tierqueue.router.money import NanoUSD
from tierqueue.router.outcome import Usage
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.duration import SECOND_US, utc
from tierqueue.router.policy.lanes import Lane
from tierqueue.router.policy.policy import Policy
from tierqueue.router.pricing import Charge, charge

_USAGE = tuple(Usage.__slots__)
_figures = attrgetter(*_USAGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whose fault a call's end is."""

    condition: Condition | None
    """The deployment's, after this call; ``None`` where the call says nothing of it."""
    own: bool
    """Whether a fault is what the item itself brought about."""


class EndedAttempt(NamedTuple):
    """A claim that is being settled, and what that is decided by."""

    claim: Claim
    deployment: Deployment
    """Where it was called."""
    policy: Policy
    now: int
    """Epoch microseconds."""
    draw: float
    """Uniform in [0, 1): it spreads retries."""
    cancelled: bool
    """Whether somebody cancelled the item while it ran."""
    verdict: Verdict


def settled(
    call: EndedAttempt,
    outcome: str,
    next_state: State,
    *,
    cost: NanoUSD,
    usage: Usage | None = None,
    detail: Mapping[str, Any] | None = None,
    **more: Any,
) -> Settlement:
    """The item goes to ``next_state``, and the attempt has cost ``cost`` (nano-dollars)."""
    asked = call.claim.item.lane
    if usage is not None and usage.total_input and asked == Lane.FLEX != usage.service_tier:
        detail = {**(detail or {}), "billed_as": usage.service_tier or "unsaid"}
    if cost > call.claim.held:
        # A bill above the bound is booked in full, never clipped to what was held.
        detail = {**(detail or {}), "overage": cost - call.claim.held}
    return Settlement(
        item_id=call.claim.item.id,
        fence=call.claim.fence,
        held=call.claim.held,
        balances=call.claim.balances,
        outcome=outcome,
        next_state=next_state,
        cost=cost,
        counted=call.claim.counted,
        # Not ``asdict``: it copies deeply, at ten times the price of these plain fields.
        usage=None if usage is None else dict(zip(_USAGE, _figures(usage), strict=True)),
        detail=detail,
        **more,
    )


def dead(
    call: EndedAttempt,
    outcome: str,
    reason: str,
    message: str,
    fields: Mapping[str, Any],
    **more: Any,
) -> Settlement:
    """The item ends as a dead letter of this ``reason``."""
    error = {
        "reason": reason,
        "message": message,
        "fields": {"item": call.claim.item.id, "deployment": call.deployment.name, **fields},
    }
    return settled(call, outcome, State.DEAD, reason=reason, error=error, **more)


def cancelled(call: EndedAttempt, outcome: str, **more: Any) -> Settlement:
    """The item ends because somebody cancelled it."""
    error = cancellation(call.claim.item.id)
    return settled(call, outcome, State.CANCELLED, reason="cancelled", error=error, **more)


def cancellation(item_id: str) -> dict[str, Any]:
    """The error of an item that was cancelled while it ran."""
    message = f"item {item_id} was cancelled while it ran"
    return {"reason": "cancelled", "message": message, "fields": {"item": item_id}}


def judged(
    call: EndedAttempt, usage: Usage, seconds: float, *, accepted: bool
) -> JudgedAnswer | None:
    """What an answer shows of the deployment that gave it; by the flex tier nothing of how soon,
    and under another prompt nothing of the task type's own.
    """
    if call.claim.item.lane == Lane.FLEX or call.claim.item.prompt is not None:
        return None
    return JudgedAnswer(
        call.claim.item.task,
        call.deployment.name,
        accepted,
        usage.total_input,
        usage.output_tokens,
        seconds,
        second=call.claim.item.id if call.claim.item.second_to is not None else None,
        by_the_hour=call.deployment.gpu_hour is not None,
    )


def charged(call: EndedAttempt, usage: Usage) -> Charge:
    """What a call cost, by its provider's own usage and the price when it began.

    A counted share of an hour of one's own engine is at most what was held of it.
    """
    at = utc(call.claim.started_at)
    found = charge(call.deployment, usage, at)
    held = call.claim.held
    if call.deployment.gpu_hour is None or not call.claim.counted or found.cost <= held:
        return found
    # A worker that stood still (stopped, starved) ends its calls too late: no ceiling is passed
    # for that, since no money leaves by the second.
    return replace(found, cost=held)


def engine_time(deployment: Deployment, started_at: int, until: int, held: NanoUSD) -> NanoUSD:
    """What the time from the claim until ``until`` (epoch µs) costs on an engine of one's own: at
    most what was held.
    """
    seconds = max(0, until - started_at) / SECOND_US
    at = utc(started_at)
    return min(charge(deployment, Usage(engine_seconds=seconds), at).cost, held)
