"""Deployments as candidates: what is known of each before any item of a kind is looked at."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache

from tierqueue.router.errors import Unpriced
from tierqueue.router.images.tokens import ImageRule
from tierqueue.router.item import TIERS, Sensitivity, Tier
from tierqueue.router.policy.deployment import Deployment, Limits, token_burst
from tierqueue.router.policy.lanes import Lane
from tierqueue.router.policy.policy import Policy
from tierqueue.router.policy.prices import MaxRate
from tierqueue.router.pricing import max_rate
from tierqueue.router.route import Refusal, barred

_EPOCH_DAY = date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A deployment and what is known of it before any item of a kind is looked at.

    ``flex_least_us``: the microseconds an item must have left to be asked by its flex tier, if it
    has one.
    """

    name: str
    tier: Tier
    barred: Refusal | None
    context_window: int
    limits: Limits
    account: str | None
    of_account: Limits
    floor: Refusal | None
    price: MaxRate | Refusal
    in_batch: MaxRate | None
    in_flex: MaxRate | None
    flex_least_us: int | None
    by_the_hour: bool
    counted: bool
    reasoning_tokens: int
    house: bool
    tells_confidence: bool
    image_rule: ImageRule | None

    def image_tokens(self, images: Iterable[tuple[int, int]]) -> int:
        """The most input tokens that images of so many pixels count as; 0 where it takes none."""
        rule = self.image_rule
        return 0 if rule is None else sum(rule.tokens(*size) for size in images)

    @property
    def burst(self) -> int | None:
        """The most tokens that its limiter, or its account's, ever grants; ``None``: any number."""
        stated = (self.limits.tokens_per_minute, self.of_account.tokens_per_minute)
        bursts = [token_burst(most, self.context_window) for most in stated if most is not None]
        return min(bursts, default=None)

    def by(self, lane: Lane) -> MaxRate | Refusal:
        """Its price by a lane that it has."""
        if lane is Lane.LIVE:
            return self.price
        price = self.in_batch if lane is Lane.BATCH else self.in_flex
        assert price is not None
        return price


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
            policy.limits_of(f"account:{deployment.account}"),
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
    of_account: Limits,
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
    batch, flex = deployment.batch, deployment.flex
    return Candidate(
        name=name,
        tier=deployment.tier,
        barred=barred(deployment, task, sensitivity),
        context_window=deployment.context_window,
        limits=deployment.limits,
        account=deployment.account,
        of_account=of_account,
        floor=floor,
        price=price,
        in_batch=None if batch is None else max_rate(deployment.in_batch, since),
        in_flex=None if flex is None else max_rate(deployment.in_flex, since),
        flex_least_us=None if flex is None else flex.least,
        by_the_hour=deployment.gpu_hour is not None,
        counted=counted,
        reasoning_tokens=deployment.reasoning_tokens,
        house=deployment.boundary == "house",
        tells_confidence=deployment.tells_confidence,
        image_rule=deployment.image_rule,
    )


def limited(
    candidates: tuple[Candidate, ...], chosen: Mapping[str, Mapping[str, int]]
) -> tuple[Candidate, ...]:
    """The same where operators have ``chosen`` limits in place of the policy's, by deployment and
    ``account:NAME``.
    """
    if not chosen:
        return candidates
    return tuple(
        replace(
            one,
            limits=set_in(one.limits, chosen.get(one.name)),
            of_account=set_in(one.of_account, chosen.get(f"account:{one.account}")),
        )
        for one in candidates
    )


def set_in(limits: Limits, chosen: Mapping[str, int] | None) -> Limits:
    """The same with those that an operator has ``chosen`` in their place, by name."""
    return limits.model_copy(update=dict(chosen)) if chosen else limits


@dataclass(frozen=True, slots=True)
class PayingBudget:
    """The budget that pays for an item, and what it may be called for."""

    name: str
    limits: Limits


def over_window(
    candidate: Candidate, inputs: int, outputs: int, paying: PayingBudget | None = None
) -> Refusal | None:
    """Why it can never take so many tokens in one call for who pays; ``None``: it can."""
    tokens = inputs + outputs
    if tokens > candidate.context_window:
        window = candidate.context_window
        why = f"up to {tokens} tokens do not fit its context window of {window}"
        return Refusal(candidate.name, "context_window", why)
    why_not = _over(candidate.limits, candidate, inputs, outputs, "its limiter", "it")
    if why_not is None and candidate.account is not None:
        whose = f"its account {candidate.account}"
        why_not = _over(
            candidate.of_account, candidate, inputs, outputs, f"the limiter of {whose}", whose
        )
    if why_not is None and paying is not None:
        whose = f"the budget {paying.name}"
        why_not = _over(paying.limits, candidate, inputs, outputs, f"the limiter of {whose}", whose)
    return None if why_not is None else Refusal(candidate.name, "token_limit", why_not)


def _over(
    limits: Limits, candidate: Candidate, inputs: int, outputs: int, limiter: str, whose: str
) -> str | None:
    """Why these limits let one call of so many tokens through never; ``None``: they do."""
    tokens, most = inputs + outputs, limits.tokens_per_minute
    if most is not None and tokens > (burst := token_burst(most, candidate.context_window)):
        return f"up to {tokens} tokens are more than {limiter} ever grants ({burst})"
    for most, part, name in (
        (limits.input_tokens_per_minute, inputs, "input"),
        (limits.output_tokens_per_minute, outputs, "output"),
    ):
        if most is not None and part > most:
            more = f"more than {whose} may be sent in a minute ({most})"
            return f"up to {part} tokens of {name} are {more}"
    return None
