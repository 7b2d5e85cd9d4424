"""Deployments as candidates: what is known of each before any item of a kind is looked at."""

from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from tierqueue.router.errors import Unpriced
from tierqueue.router.item import TIERS, Sensitivity, Tier
from tierqueue.router.policy.deployment import Deployment, Limits
from tierqueue.router.policy.policy import Policy
from tierqueue.router.policy.rates import MaxRate
from tierqueue.router.pricing import max_rate
from tierqueue.router.route import Refusal, barred

_EPOCH_DAY = date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A deployment and what is known of it before any item of a kind is looked at."""

    name: str
    tier: Tier
    barred: Refusal | None
    context_window: int
    burst: int | None
    limits: Limits
    floor: Refusal | None
    price: MaxRate | Refusal
    in_batch: MaxRate | None
    by_the_hour: bool
    counted: bool
    reasoning: int
    house: bool
    tells_confidence: bool


@lru_cache(maxsize=256)
def candidates_of(
    policy: Policy, task: str, sensitivity: Sensitivity, rank: int, day: int
) -> tuple[Candidate, ...]:
    """What does not depend on the item but on its kind; thousands of items a second share it.

    ``rank`` is the lowest in ``TIERS`` that may try, ``day`` counts from 1970-01-01.
    """
    return tuple(
        _candidate(
            deployment,
            policy.counts(deployment),
            task,
            sensitivity,
            rank,
            date.fromordinal(_EPOCH_DAY + day),
        )
        for deployment in policy.deployments.values()
    )


def highest(candidates: tuple[Candidate, ...]) -> int:
    """The rank of the highest tier that may do the item."""
    allowed = (candidate for candidate in candidates if candidate.barred is None)
    return max((TIERS.index(candidate.tier) for candidate in allowed), default=0)


def _candidate(
    deployment: Deployment,
    counted: bool,
    task: str,
    sensitivity: Sensitivity,
    rank: int,
    since: date,
) -> Candidate:
    name, floor = deployment.name, None
    if TIERS.index(deployment.tier) < rank:
        least = f"{TIERS[rank]} or better is needed" if rank < len(TIERS) else "no tier is left"
        floor = Refusal(name, "floor", f"{least} and this is {deployment.tier}")
    price: MaxRate | Refusal
    try:
        price = max_rate(deployment, since)
    except Unpriced as wrong:
        price = Refusal(name, "unpriced", wrong.message)
    window, burst = deployment.context_window, deployment.token_burst
    hourly = deployment.gpu_hour is not None
    reasoning, house = deployment.reasoning_tokens, deployment.boundary == "house"
    return Candidate(
        name,
        deployment.tier,
        barred(deployment, task, sensitivity),
        window,
        burst,
        deployment.limits,
        floor,
        price,
        None if deployment.batch is None else max_rate(deployment.in_batch, since),
        hourly,
        counted,
        reasoning,
        house,
        deployment.tells_confidence,
    )
