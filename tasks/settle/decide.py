"""The one match over outcomes: what an attempt cost, and where its item goes next."""

from collections.abc import Mapping
from typing import Any, assert_never

from tierqueue.ledger.lifecycle.claims import Claim
from tierqueue.ledger.lifecycle.items import fallen
from tierqueue.ledger.lifecycle.settlements import Parking, Settlement
from tierqueue.router import escalation, retry
from tierqueue.router.item import Sensitivity, Tier
from tierqueue.router.lifecycle import State, Wait
from tierqueue.router.money import NOTHING, NanoUSD
from tierqueue.router.outcome import (
    ENGINE_TIME,
    LOST_ON_THE_WAY,
    Accepted,
    Failed,
    FlexRefused,
    Interrupted,
    Outcome,
    Rejected,
    Throttled,
    Trouble,
    Unavailable,
    Unknown,
)
from tierqueue.router.policy.defaults import ReviewRule
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.duration import SECOND_US, microseconds
from tierqueue.router.policy.lanes import Lane
from tierqueue.router.policy.policy import Policy
from tierqueue.tasks.routing.decide import may_fall
from tierqueue.tasks.settle.receipt import receipt_of
from tierqueue.tasks.settle.second_items import second_items_of
from tierqueue.tasks.settle.write import (
    EndedAttempt,
    Verdict,
    cancelled,
    charged,
    dead,
    engine_time,
    judged,
    settled,
)

_ANOTHER_FLOOR = "Replay it with another floor."
_ADVICE = {
    "truncated": "Raise the task type's output_limit, or reasoning_tokens of the deployment where "
    "the model thinks before it answers, then replay it.",
    "withheld": "Another provider may answer: replay it with another floor.",
    "too_large": "Shorten it or its output_limit, or have the account's limit raised; with "
    "tokens_per_minute stated, a deployment is not sent what its limit cannot hold. Then replay "
    "it.",
    "context_window": "State the deployment's true context_window, or one with a larger window, "
    "then replay it.",
    "grammar": "`tierqueue doctor` names the part of the model that is not held: change it, or "
    "have the deployment do other task types alone (tasks), then replay it.",
    "wrong_model": "List the name under served_as of the deployment if it is the same model, or "
    "route to another deployment, then replay it.",
}
"""What to do about a dead letter, by its reason."""

_REVIEWED = ("low_confidence", "rejected")
"""Reasons of answers that a person may judge: there is one, and it may be right."""

_UNTIL_DEADLINE_US = 1 << 60
"""Microseconds that no deadline is away."""


def settlement(
    claim: Claim,
    deployment: Deployment,
    outcome: Outcome,
    policy: Policy,
    now: int,
    draw: float,
    *,
    verdict: Verdict,
    stopped: bool,
) -> Settlement:
    """What the ledger must write for this outcome. Anything that is not an outcome is loud.

    ``now``: epoch microseconds; ``draw``: uniform in [0, 1), it spreads retries. ``stopped``:
    somebody cancelled the item while it ran.
    """
    call = EndedAttempt(
        claim=claim,
        deployment=deployment,
        policy=policy,
        now=now,
        draw=draw,
        cancelled=stopped,
        verdict=verdict,
    )
    item = claim.item
    match outcome:
        case Accepted(output=output, completed=done):
            charge = charged(call, done.usage)
            other = {"other_model": True, "model_served": done.model_served}
            receipt = receipt_of(item, call.deployment, outcome, charge.cost)
            return settled(
                call,
                "accepted",
                State.SUCCEEDED,
                cost=charge.cost,
                price_source=charge.source,
                usage=done.usage,
                seconds=done.seconds,
                simulated=done.simulated,
                detail=other if done.other_model else None,
                confidence=done.confidence,
                output=output,
                receipt=receipt,
                again=second_items_of(call, charge.cost),
                judged=judged(call, done.usage, done.seconds, accepted=True),
                calls_more=1,
            )
        case Rejected():
            return _rejected(call, outcome)
        case Throttled() if (to := _may_fall(call, "on_throttle", NOTHING)) is not None:
            return _fallen(call, "throttled", to, "throttle", cost=0, throttles_more=1)
        case Throttled():
            again = retry.after_throttle(outcome, item.throttles + 1, call.policy.retry, call.draw)
            return _again(call, "throttled", again, "throttled", cost=0, throttles_more=1)
        case FlexRefused():
            return _flex_refused(call, outcome)
        case Unavailable():
            return _unavailable(call, outcome)
        case Failed():
            return _failed(call, outcome)
        case Unknown():
            return _unknown(call, outcome)
        case Interrupted():
            return _interrupted(call, outcome)
        case _:
            assert_never(outcome)


def _flex_refused(call: EndedAttempt, outcome: FlexRefused) -> Settlement:
    """Live where the tier does not take the model, else again there while there is time for it.

    Whatever waits goes by the choice again, which sends it live once its time is too short.
    """
    item, flex = call.claim.item, call.deployment.flex
    if outcome.lasting and not call.cancelled:
        refused: dict[str, Any] = {"cost": NOTHING, "lane": Lane.LIVE.value, "throttles_more": 1}
        return settled(call, "throttled", State.SUBMITTED, reason=Wait.FLEX.value, **refused)
    throttled = Throttled(after=outcome.after)
    again = retry.after_throttle(throttled, item.throttles + 1, call.policy.retry, call.draw)
    if flex is not None and item.deadline is not None:
        # Not beyond the time at which it has to go live.
        until = max(0, item.deadline - flex.least - call.now) / SECOND_US
        again = retry.Retry(min(again.delay, until))
    return _again(call, "throttled", again, Wait.FLEX.value, cost=NOTHING, throttles_more=1)


def _rejected(call: EndedAttempt, outcome: Rejected) -> Settlement:
    charge = charged(call, outcome.usage)
    spent: dict[str, Any] = {
        "cost": charge.cost,
        "price_source": charge.source,
        "usage": outcome.usage,
        "seconds": outcome.seconds,
        "simulated": outcome.simulated,
        "confidence": outcome.confidence,
        "detail": {
            "reasons": list(outcome.reasons),
            "model_served": outcome.model_served,
            "other_model": outcome.reason == "wrong_model",
        },
        "judged": judged(call, outcome.usage, outcome.seconds, accepted=False),
        "calls_more": 1,
    }
    reasons = list(outcome.reasons)
    said = f"the answer of {call.deployment.name} was refused ({'; '.join(reasons)})"
    fields = {"reasons": reasons}
    if _review_of(call) is not None:
        spent["refused"] = outcome.answer
    return _next_or_dead(call, "rejected", outcome.reason, said, fields, spent)


def _next_or_dead(
    call: EndedAttempt,
    outcome: str,
    reason: str,
    said: str,
    fields: Mapping[str, Any],
    spent: dict[str, Any],
) -> Settlement:
    """Another deployment, or the end: a dead letter of this ``reason``."""
    item = call.claim.item
    step = escalation.onward(
        call.deployment,
        reason,
        tuple(Tier(name) for name in item.refused_by or ()),
        item.too_small or {},
        call.policy,
        task=item.task,
        sensitivity=Sensitivity(item.sensitivity or Sensitivity.REGULATED),
        may_climb=item.degraded is None and item.pinned is None,
    )
    if step is not None and item.calls + 1 < call.policy.retry.calls:
        spent |= {"too_small": step.too_small, "refused_by": step.refused_by}
        return settled(call, outcome, State.SUBMITTED, reason=step.reason, **spent)
    review = _review_of(call)
    if review is not None and outcome == "rejected" and reason in _REVIEWED:
        due = min(item.deadline or call.now, call.now + (review.within or _UNTIL_DEADLINE_US))
        parked = Parking(due=due, assignee=review.assignee)
        return settled(call, outcome, State.REVIEW, reason=reason, parked=parked, **spent)
    used_up = f"all {call.policy.retry.calls} calls that the policy allows are used up"
    left = "no other deployment may try" if step is None else used_up
    message = f"item {item.id}: {said} and {left}. {_ADVICE.get(reason, _ANOTHER_FLOOR)}"
    return dead(call, outcome, reason, message, fields, **spent)


def _review_of(call: EndedAttempt) -> ReviewRule | None:
    """Who decides what no tier's answer is good enough for; nobody in an evaluation of a tier."""
    item = call.claim.item
    usual = call.policy.tasks.get(item.task)
    return None if usual is None or item.pinned is not None else usual.review


def _failed(call: EndedAttempt, failed: Failed) -> Settlement:
    calls = call.claim.item.calls + 1
    spent = {**_turned_away(call, failed), "calls_more": 1}
    if failed.reason in escalation.UNFIT and not call.cancelled:
        fields, said = {"last": spent["detail"], "calls": calls}, failed.message
        return _next_or_dead(call, "failed", failed.reason, said, fields, spent)
    next_step = retry.after_failure(failed, calls, call.policy.retry, call.draw)
    if failed.transient and isinstance(next_step, retry.End):
        to = _may_fall(call, "on_outage", spent["cost"])
        if to is not None:
            return _fallen(call, "failed", to, "outage", **spent)
    return _again(call, "failed", next_step, failed.kind, **spent)


def _unavailable(call: EndedAttempt, outcome: Unavailable) -> Settlement:
    """A fault of the deployment's, which is no call of the item's unless it brings it about."""
    item, kind, spent = call.claim.item, outcome.kind, _turned_away(call, outcome)
    if kind == "engine_died":
        # Any of the items in its hands may have brought it down, as with a worker.
        died = retry.after_lost_claim(item.lost_claims + 1, call.policy.retry, call.draw)
        return _again(call, "unavailable", died, kind, lost_more=1, **spent)
    if call.verdict.own:
        own = Failed(kind=kind, message=outcome.message, transient=True, usage=outcome.usage)
        return _failed(call, own)
    return _waits(call, "unavailable", kind, **spent)


def _unknown(call: EndedAttempt, unknown: Unknown) -> Settlement:
    """The hold is booked, whatever follows; another call may be paid for where the policy says so.

    What an outage loses is no call of the item's: it waits for the deployment, or another takes
    over. A time limit is one in any case: the item may be what takes so long.
    """
    metered = call.deployment.metered
    booked: dict[str, Any] = {
        "cost": call.claim.held if metered else _engine_time(call),
        "detail": {"kind": unknown.kind, "message": unknown.message},
    }
    outage = metered and call.verdict.condition is not None and not call.verdict.own
    again = retry.may_pay_again(unknown, call.policy.retry, outage=outage)
    if outage and again and unknown.kind in LOST_ON_THE_WAY:
        return _waits(call, "unknown", "reply_lost", **booked)
    step = retry.after_unknown(
        unknown,
        call.policy.retry,
        call.claim.item.calls + 1,
        call.draw,
        metered=metered,
        outage=outage,
    )
    reason = "reply_lost" if outage else unknown.kind
    return _again(call, "unknown", step, reason, calls_more=1, **booked)


def _engine_time(call: EndedAttempt) -> NanoUSD:
    return engine_time(call.deployment, call.claim.started_at, call.now, call.claim.held)


def _waits(call: EndedAttempt, outcome: str, code: Trouble, **spent: Any) -> Settlement:
    """Wait for the deployment, which uses up no calls, or for another to take over."""
    condition = call.verdict.condition
    if condition is not None and condition.unavailable and not call.cancelled:
        # The routing stage knows who may take over, and keeps back what nobody can.
        return settled(call, outcome, State.SUBMITTED, reason=code, throttles_more=1, **spent)
    again = retry.after_unavailable(call.claim.item.throttles + 1, call.policy.retry, call.draw)
    return _again(call, outcome, again, code, throttles_more=1, **spent)


def _turned_away(call: EndedAttempt, outcome: Failed | Unavailable) -> dict[str, Any]:
    charge = charged(call, outcome.usage)
    detail = {"kind": outcome.kind, "message": outcome.message}
    return {
        "cost": charge.cost,
        "price_source": charge.source,
        "usage": outcome.usage,
        "detail": detail,
    }


def _may_fall(call: EndedAttempt, event: str, cost: NanoUSD) -> Tier | None:
    if call.cancelled:
        return None
    counted = cost if call.claim.counted else NOTHING
    return may_fall(call.claim.item, event, counted, call.policy, call.now)


def _fallen(call: EndedAttempt, outcome: str, to: Tier, on: str, **more: Any) -> Settlement:
    degraded = fallen(to, call.deployment.name, on)
    return settled(call, outcome, State.SUBMITTED, reason="fallback", degraded=degraded, **more)


def _interrupted(call: EndedAttempt, outcome: Interrupted) -> Settlement:
    charge = charged(call, outcome.usage)
    spent: dict[str, Any] = {
        "cost": charge.cost,
        "price_source": charge.source,
        "usage": outcome.usage,
        "detail": {"kind": outcome.kind},
    }
    if call.cancelled:
        return cancelled(call, "interrupted", **spent)
    if outcome.kind == ENGINE_TIME:
        return _with_all_its_time(call, spent)
    return settled(call, "interrupted", State.ROUTED, **spent)


def _with_all_its_time(call: EndedAttempt, spent: dict[str, Any]) -> Settlement:
    """It took longer than others of its kind: a call that is called again has its whole timeout."""
    calls, spent = call.claim.item.calls + 1, {**spent, "calls_more": 1}
    if calls < call.policy.retry.calls:
        return settled(call, "interrupted", State.SUBMITTED, reason=ENGINE_TIME, **spent)
    took = f"it took more of the engine of {call.deployment.name} than is held for such a call"
    message = f"item {call.claim.item.id}: {took}, and all {calls} calls are used up. Replay it."
    return dead(call, "interrupted", "exhausted", message, {"calls": calls}, **spent)


def _again(
    call: EndedAttempt, outcome: str, step: retry.Retry | retry.End, reason: str, **more: Any
) -> Settlement:
    """Wait and try again, end as a dead letter, or honour a cancellation."""
    if call.cancelled:
        return cancelled(call, outcome, **more)
    match step:
        case retry.Retry(delay=delay):
            ready_at = call.now + microseconds(delay)
            return settled(call, outcome, State.WAITING, reason=reason, ready_at=ready_at, **more)
        case retry.End(reason=end, message=message, fields=fields):
            return dead(call, outcome, end, f"item {call.claim.item.id}: {message}", fields, **more)
        case _:
            assert_never(step)
