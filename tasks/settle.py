"""The one match over outcomes: what an attempt cost, and where its item goes next."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, assert_never

from tierqueue.ledger.lifecycle.items import fallen
from tierqueue.ledger.lifecycle.settlements import Settlement
from tierqueue.ledger.records import Attempt as OpenAttempt
from tierqueue.ledger.records import Item
from tierqueue.router import escalation, retry
from tierqueue.router.condition import Condition
from tierqueue.router.item import Tier
from tierqueue.router.lifecycle import State
from tierqueue.router.money import NanoUSD
from tierqueue.router.outcome import (
    LOST_ON_THE_WAY,
    Accepted,
    Failed,
    Interrupted,
    Outcome,
    Rejected,
    Throttled,
    Trouble,
    Unavailable,
    Unknown,
    Usage,
)
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.policy import Policy
from tierqueue.router.pricing import charge
from tierqueue.tasks.receipt import receipt_of
from tierqueue.tasks.routing.decide import may_fall

_ANOTHER_FLOOR = "Replay it with another floor."
_ADVICE = {
    "too_large": "Shorten it or its output_limit, or have the account's limit raised; with "
    "tokens_per_minute stated, a deployment is not sent what its limit cannot hold. Then replay "
    "it.",
    "context_window": "State the deployment's true context_window, or one with a larger window, "
    "then replay it.",
    "wrong_model": "List the name under served_as of the deployment if it is the same model, or "
    "route to another deployment, then replay it.",
}
"""What to do about a dead letter, by its reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One claimed attempt, as it must be known to settle it.

    ``item`` is the item's row as it stood at the claim; money in nano-dollars, ``now`` in epoch
    microseconds; ``draw`` is uniform in [0, 1) and spreads retries. ``condition`` is the
    deployment's after this attempt, ``None`` where the attempt says nothing of it; ``own``: a fault
    is what the item itself brought about.
    """

    item: Item
    fence: int
    held: int
    balances: tuple[str, ...]
    started_at: int
    deployment: Deployment
    prompt_version: str
    now: int
    draw: float
    cancelled: bool = False
    condition: Condition | None = None
    own: bool = False


def settlement(attempt: Attempt, outcome: Outcome, policy: Policy) -> Settlement:
    """What the ledger must write for this outcome. Anything that is not an outcome is loud."""
    item = attempt.item
    match outcome:
        case Accepted(output=output, completed=done):
            cost, source = _charged(attempt, done.usage)
            other = {"other_model": True, "model_served": done.model_served}
            receipt = receipt_of(item, attempt.deployment, attempt.prompt_version, done, cost)
            return _settled(
                attempt,
                "accepted",
                State.SUCCEEDED,
                cost=cost,
                price_source=source,
                usage=done.usage,
                seconds=done.seconds,
                simulated=done.simulated,
                detail=other if done.other_model else None,
                output=output,
                receipt=receipt,
                calls_more=1,
            )
        case Rejected():
            return _rejected(attempt, outcome, policy)
        case Throttled() if (to := _may_fall(attempt, "on_throttle", 0, policy)) is not None:
            return _fallen(attempt, "throttled", to, "throttle", cost=0, throttles_more=1)
        case Throttled():
            again = retry.after_throttle(outcome, item.throttles + 1, policy.retry, attempt.draw)
            return _again(attempt, "throttled", again, "throttled", cost=0, throttles_more=1)
        case Unavailable():
            return _unavailable(attempt, outcome, policy)
        case Failed():
            return _failed(attempt, outcome, policy)
        case Unknown():
            return _unknown(attempt, outcome, policy)
        case Interrupted(kind=kind, usage=usage):
            cost, source = _charged(attempt, usage)
            return _settled(
                attempt,
                "interrupted",
                State.CANCELLED if attempt.cancelled else State.ROUTED,
                cost=cost,
                price_source=source,
                usage=usage,
                detail={"kind": kind},
                error=_cancelled(item.id) if attempt.cancelled else None,
            )
        case _:
            assert_never(outcome)


def _rejected(attempt: Attempt, outcome: Rejected, policy: Policy) -> Settlement:
    cost, source = _charged(attempt, outcome.usage)
    spent: dict[str, Any] = {
        "cost": cost,
        "price_source": source,
        "usage": outcome.usage,
        "seconds": outcome.seconds,
        "simulated": outcome.simulated,
        "detail": {
            "reasons": list(outcome.reasons),
            "model_served": outcome.model_served,
            "other_model": outcome.reason == "wrong_model",
        },
        "calls_more": 1,
    }
    reasons = list(outcome.reasons)
    said = f"the answer of {attempt.deployment.name} was refused ({'; '.join(reasons)})"
    fields = {"reasons": reasons}
    return _next_or_dead(attempt, "rejected", outcome.reason, said, fields, policy, spent)


def _next_or_dead(
    attempt: Attempt,
    outcome: str,
    reason: str,
    said: str,
    fields: Mapping[str, Any],
    policy: Policy,
    spent: dict[str, Any],
) -> Settlement:
    """Another deployment, or the end: a dead letter of this ``reason``."""
    item = attempt.item
    step = escalation.onward(
        attempt.deployment,
        reason,
        tuple(Tier(each) for each in item.refused_by or ()),
        item.too_small or {},
        policy,
        may_climb=item.degraded is None,
    )
    if step is not None and item.calls + 1 < policy.retry.calls:
        spent |= {"too_small": step.too_small, "refused_by": step.refused_by}
        return _settled(attempt, outcome, State.SUBMITTED, reason=step.reason, **spent)
    used_up = f"all {policy.retry.calls} calls that the policy allows are used up"
    left = "no other deployment may try" if step is None else used_up
    message = f"item {item.id}: {said} and {left}. {_ADVICE.get(reason, _ANOTHER_FLOOR)}"
    return _dead(attempt, outcome, reason, message, fields, **spent)


def _failed(attempt: Attempt, failed: Failed, policy: Policy) -> Settlement:
    calls = attempt.item.calls + 1
    charged = {**_turned_away(attempt, failed), "calls_more": 1}
    if failed.reason in escalation.TOO_SMALL and not attempt.cancelled:
        fields, said = {"last": charged["detail"], "calls": calls}, failed.message
        return _next_or_dead(attempt, "failed", failed.reason, said, fields, policy, charged)
    next_step = retry.after_failure(failed, calls, policy.retry, attempt.draw)
    if failed.transient and isinstance(next_step, retry.End):
        to = _may_fall(attempt, "on_outage", charged["cost"], policy)
        if to is not None:
            return _fallen(attempt, "failed", to, "outage", **charged)
    return _again(attempt, "failed", next_step, failed.kind, **charged)


def _unavailable(attempt: Attempt, outcome: Unavailable, policy: Policy) -> Settlement:
    """A fault of the deployment's, which is no call of the item's unless it brings it about."""
    item, kind, charged = attempt.item, outcome.kind, _turned_away(attempt, outcome)
    if kind == "engine_died":
        # Any of the items in its hands may have brought it down, as with a worker.
        died = retry.after_lost_claim(item.lost_claims + 1, policy.retry, attempt.draw)
        return _again(attempt, "unavailable", died, kind, lost_more=1, **charged)
    if attempt.own:
        own = Failed(kind=kind, message=outcome.message, transient=True, usage=outcome.usage)
        return _failed(attempt, own, policy)
    return _waits(attempt, "unavailable", kind, policy, **charged)


def _unknown(attempt: Attempt, unknown: Unknown, policy: Policy) -> Settlement:
    """The hold is booked, whatever follows; another call may be paid for where the policy says so.

    What an outage loses is no call of the item's: it waits for the deployment, or another takes
    over. A time limit is one in any case: the item may be what takes so long.
    """
    metered = attempt.deployment.metered
    booked: dict[str, Any] = {
        "cost": attempt.held if metered else _engine_time(attempt, attempt.now),
        "detail": {"kind": unknown.kind, "message": unknown.message},
    }
    outage = metered and attempt.condition is not None and not attempt.own
    again = retry.may_pay_again(unknown, policy.retry, outage=outage)
    if outage and again and unknown.kind in LOST_ON_THE_WAY:
        return _waits(attempt, "unknown", "reply_lost", policy, **booked)
    step = retry.after_unknown(
        unknown,
        policy.retry,
        attempt.item.calls + 1,
        attempt.draw,
        metered=metered,
        outage=outage,
    )
    reason = "reply_lost" if outage else unknown.kind
    return _again(attempt, "unknown", step, reason, calls_more=1, **booked)


def _waits(
    attempt: Attempt, outcome: str, code: Trouble, policy: Policy, **charged: Any
) -> Settlement:
    """Wait for the deployment, which uses up no calls, or for another to take over."""
    if attempt.condition is not None and attempt.condition.unavailable and not attempt.cancelled:
        # The routing stage knows who may take over, and keeps back what nobody can.
        return _settled(attempt, outcome, State.SUBMITTED, reason=code, throttles_more=1, **charged)
    again = retry.after_unavailable(attempt.item.throttles + 1, policy.retry, attempt.draw)
    return _again(attempt, outcome, again, code, throttles_more=1, **charged)


def _turned_away(attempt: Attempt, outcome: Failed | Unavailable) -> dict[str, Any]:
    cost, source = _charged(attempt, outcome.usage)
    detail = {"kind": outcome.kind, "message": outcome.message}
    return {"cost": cost, "price_source": source, "usage": outcome.usage, "detail": detail}


def lost(
    attempt: Attempt, policy: Policy, *, cancel_requested: bool, blamed: bool = True
) -> Settlement:
    """What becomes of a claim whose lease ended without a settle.

    ``blamed``: the item may be what killed its worker, so that the loss counts towards poison.

    A metered call may have been billed: its hold is booked as ``unknown``. A house engine's time
    is charged for the whole lease, at most the hold.
    """
    metered = attempt.deployment.metered
    number = attempt.item.lost_claims + blamed
    step = retry.after_lost_claim(number, policy.retry, attempt.draw, paid_call_begun=metered)
    cost = attempt.held if metered else _engine_time(attempt, attempt.now)
    outcome = "unknown" if metered else "lost"
    extra: dict[str, Any] = {
        "cost": cost,
        "lost_more": int(blamed),
        "detail": {"kind": "lease ended"},
    }
    if cancel_requested:
        return _settled(
            attempt, outcome, State.CANCELLED, error=_cancelled(attempt.item.id), **extra
        )
    return _again(attempt, outcome, step, "lost claim", **extra)


def _may_fall(attempt: Attempt, event: str, cost: int, policy: Policy) -> Tier | None:
    if attempt.cancelled:
        return None
    return may_fall(attempt.item, event, cost, policy, attempt.now)


def _fallen(attempt: Attempt, outcome: str, to: Tier, on: str, **more: Any) -> Settlement:
    degraded = fallen(to, attempt.deployment.name, on)
    return _settled(
        attempt, outcome, State.SUBMITTED, reason=f"fallback on {on}", degraded=degraded, **more
    )


def lost_astray(
    item: Item, attempt: OpenAttempt, policy: Policy, draw: float, *, blamed: bool = True
) -> Settlement:
    """What becomes of a lost claim on a deployment that the policy does not name any more.

    Nothing can be priced, so all that was held is booked; the item is routed anew.
    """
    number = item.lost_claims + blamed
    step = retry.after_lost_claim(number, policy.retry, draw, paid_call_begun=attempt.metered)
    state, error, reason = State.SUBMITTED, None, "lost claim"
    if item.cancel_requested:
        state, error, reason = State.CANCELLED, _cancelled(item.id), "cancelled"
    elif isinstance(step, retry.End):
        fields = {"item": item.id, "deployment": attempt.deployment, **step.fields}
        message = f"item {item.id}: {step.message}"
        error = {"reason": step.reason, "message": message, "fields": fields}
        state, reason = State.DEAD, step.reason
    return Settlement(
        item_id=item.id,
        fence=attempt.fence,
        held=attempt.held,
        balances=tuple(attempt.balances),
        outcome="unknown" if attempt.metered else "lost",
        cost=attempt.held,
        detail={"kind": "lease ended"},
        next_state=state,
        reason=reason,
        error=error,
        lost_more=int(blamed),
    )


def _again(
    attempt: Attempt, outcome: str, step: retry.Again | retry.End, reason: str, **more: Any
) -> Settlement:
    """Wait and try again, end as a dead letter, or honour a cancellation."""
    if attempt.cancelled:
        error = _cancelled(attempt.item.id)
        return _settled(attempt, outcome, State.CANCELLED, error=error, **more)
    match step:
        case retry.Again(delay=delay):
            ready_at = attempt.now + round(delay * 1_000_000)
            return _settled(
                attempt, outcome, State.WAITING, reason=reason, ready_at=ready_at, **more
            )
        case retry.End(reason=end, message=message, fields=fields):
            return _dead(
                attempt, outcome, end, f"item {attempt.item.id}: {message}", fields, **more
            )
        case _:
            assert_never(step)


def _dead(
    attempt: Attempt,
    outcome: str,
    reason: str,
    message: str,
    fields: Mapping[str, Any],
    **more: Any,
) -> Settlement:
    error = {
        "reason": reason,
        "message": message,
        "fields": {"item": attempt.item.id, "deployment": attempt.deployment.name, **fields},
    }
    return _settled(attempt, outcome, State.DEAD, reason=reason, error=error, **more)


def _settled(
    attempt: Attempt,
    outcome: str,
    next_state: State,
    *,
    cost: int,
    usage: Usage | None = None,
    detail: Mapping[str, Any] | None = None,
    **more: Any,
) -> Settlement:
    if cost > attempt.held:
        # A bill above the bound is booked in full, never clipped to what was held.
        detail = {**(detail or {}), "overage": cost - attempt.held}
    return Settlement(
        item_id=attempt.item.id,
        fence=attempt.fence,
        held=attempt.held,
        balances=attempt.balances,
        outcome=outcome,
        next_state=next_state,
        cost=cost,
        # Not ``asdict``: it copies deeply, at ten times the price of these plain fields.
        usage=None if usage is None else {name: getattr(usage, name) for name in Usage.__slots__},
        detail=detail,
        **more,
    )


def _cancelled(item_id: str) -> dict[str, Any]:
    message = f"item {item_id} was cancelled while it ran"
    return {"reason": "cancelled", "message": message, "fields": {"item": item_id}}


def _charged(attempt: Attempt, usage: Usage) -> tuple[int, str]:
    at = datetime.fromtimestamp(attempt.started_at / 1e6, UTC)
    priced = charge(attempt.deployment, usage, at)
    return priced.cost, priced.source


def _engine_time(attempt: Attempt, until: int) -> int:
    """A house engine's time from the claim until ``until``, never more than was held."""
    seconds = max(0, until - attempt.started_at) / 1e6
    at = datetime.fromtimestamp(attempt.started_at / 1e6, UTC)
    cost = charge(attempt.deployment, Usage(engine_seconds=seconds), at).cost
    return min(cost, NanoUSD(attempt.held))
