"""Claims whose lease ended without a settle: what is booked, and where their items go."""

from tierqueue.ledger.lifecycle.leases import LapsedLease
from tierqueue.ledger.lifecycle.settlements import Settlement
from tierqueue.router import retry
from tierqueue.router.lifecycle import State, Wait
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.duration import microseconds
from tierqueue.router.policy.policy import Policy
from tierqueue.tasks.settle.write import cancellation, engine_time


def lost(
    lapsed: LapsedLease,
    deployment: Deployment | None,
    policy: Policy,
    now: int,
    draw: float,
    *,
    blamed: bool,
) -> Settlement:
    """What becomes of a claim on ``deployment``, which is ``None`` where no policy names it now.

    A metered call may have been billed: its hold is booked as ``unknown``. The time of an engine of
    one's own is charged for the whole lease, at most the hold; without a deployment nothing can be
    priced, so that the hold is booked and the item routed anew. ``blamed``: the item may be what
    killed its worker, so that the loss counts towards poison. ``now``: epoch microseconds;
    ``draw``: uniform in [0, 1), it spreads retries.
    """
    item, attempt = lapsed
    metered = attempt.metered if deployment is None else deployment.metered
    cost = attempt.held
    if deployment is not None and not metered:
        cost = engine_time(deployment, attempt.started_at, now, attempt.held)
    losses = item.lost_claims + blamed
    step = retry.after_lost_claim(losses, policy.retry, draw, paid_call_begun=metered)
    state, reason, error, ready_at = State.SUBMITTED, Wait.LOST_CLAIM.value, None, None
    if item.cancel_requested:
        state, reason, error = State.CANCELLED, "cancelled", cancellation(item.id)
    elif isinstance(step, retry.End):
        fields = {"item": item.id, "deployment": attempt.deployment, **step.fields}
        message = f"item {item.id}: {step.message}"
        error = {"reason": step.reason, "message": message, "fields": fields}
        state, reason = State.DEAD, step.reason
    elif deployment is not None:
        state, ready_at = State.WAITING, now + microseconds(step.delay)
    return Settlement(
        item_id=item.id,
        fence=attempt.fence,
        held=attempt.held,
        balances=tuple(attempt.balances),
        outcome="unknown" if metered else "lost",
        cost=cost,
        counted=deployment is None or policy.counts(deployment),
        detail={"kind": "lease_ended"},
        next_state=state,
        reason=reason,
        ready_at=ready_at,
        error=error,
        lost_more=int(blamed),
    )


def given_up(lapsed: LapsedLease, deployment: Deployment | None, policy: Policy) -> Settlement:
    """What becomes of an item in a batch whose deadline is too close: it goes live.

    Its line may be billed yet, so that its hold is booked until the batch says what it did cost.
    """
    item, attempt = lapsed
    return Settlement(
        item_id=item.id,
        fence=attempt.fence,
        held=attempt.held,
        balances=tuple(attempt.balances),
        outcome="unknown",
        cost=attempt.held,
        counted=deployment is None or policy.counts(deployment),
        detail={"kind": "batch_given_up"},
        next_state=State.SUBMITTED,
    )
