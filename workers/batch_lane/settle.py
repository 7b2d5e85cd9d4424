"""What the ledger is to write of one request of a batch."""

from dataclasses import replace

from tierqueue.ledger.lifecycle.claims import Claim
from tierqueue.ledger.lifecycle.settlements import Settlement
from tierqueue.router.lifecycle import State
from tierqueue.router.outcome import Outcome
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.policy import Policy
from tierqueue.tasks.settle.decide import settlement
from tierqueue.tasks.settle.write import Verdict


def settlement_of(
    claim: Claim,
    deployment: Deployment,
    outcome: Outcome,
    policy: Policy,
    now: int,
    draw: float,
    *,
    batch: str,
) -> Settlement:
    """As of a call of its own, at the price of ``deployment``, which is that of its batches.

    Says nothing of the deployment: a batch is no sign of how it serves, nor of how soon. ``now``:
    epoch microseconds; ``draw``: uniform in [0, 1), it spreads retries.
    """
    verdict = Verdict(condition=None, own=False)
    found = settlement(
        claim, deployment, outcome, policy, now, draw, verdict=verdict, stopped=False
    )
    found = replace(found, judged=None)
    if found.next_state is State.ROUTED:
        # Nobody holds a slice of it: it is routed anew, to another batch or live.
        found = replace(found, next_state=State.SUBMITTED)
    if found.receipt is not None:
        found = replace(found, receipt={**found.receipt, "batch": batch})
    return found
