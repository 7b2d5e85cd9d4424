"""Prompt caches by deployment: the share of its input that they served, and what that saved."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from tierqueue.ledger.accounting.spending import UsageCount
from tierqueue.router.errors import Unpriced
from tierqueue.router.outcome import Usage
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.policy import Policy
from tierqueue.router.pricing import charge


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheUse:
    """One deployment's calls that were counted, whatever came of them.

    ``input_tokens`` of all classes, ``cached_tokens`` of them read from a cache and
    ``written_tokens`` into one; ``hit_rate`` is the share that was read. ``saved``: what the same
    tokens would cost as plain input, less what they cost, in nano-dollars; below 0 where writing
    cost more than reading has brought, ``None`` where nothing is paid by the token.
    """

    deployment: str
    simulated: bool
    input_tokens: int
    cached_tokens: int
    written_tokens: int
    hit_rate: float
    saved: int | None


def cached(used: Sequence[UsageCount], policy: Policy, at: datetime) -> list[CacheUse]:
    """Each deployment whose calls met a cache, at the prices of ``at``; ``used`` is by deployment.

    Deployments that the policy does not know any more have no price.
    """
    groups: dict[tuple[str, bool], list[UsageCount]] = {}
    for usage in used:
        groups.setdefault((usage.deployment, usage.simulated), []).append(usage)
    found = [
        _of(name, simulated, group, policy.deployments.get(name), at)
        for (name, simulated), group in sorted(groups.items())
    ]
    return [one for one in found if one.cached_tokens or one.written_tokens]


def _of(
    name: str,
    simulated: bool,
    used: Sequence[UsageCount],
    deployment: Deployment | None,
    at: datetime,
) -> CacheUse:
    whole = sum(one.usage.total_input * one.calls for one in used)
    read = sum(one.usage.cache_read_tokens * one.calls for one in used)
    return CacheUse(
        deployment=name,
        simulated=simulated,
        input_tokens=whole,
        cached_tokens=read,
        written_tokens=sum(_written(one.usage) * one.calls for one in used),
        hit_rate=round(read / whole, 4) if whole else 0.0,
        saved=None if deployment is None else _saved(used, deployment, at),
    )


def _saved(used: Iterable[UsageCount], deployment: Deployment, at: datetime) -> int | None:
    if deployment.gpu_hour is not None:
        return None
    saved = 0
    try:
        for one in used:
            plain = replace(
                one.usage,
                input_tokens=one.usage.total_input,
                cache_read_tokens=0,
                cache_write_5m_tokens=0,
                cache_write_1h_tokens=0,
            )
            without, paid = (charge(deployment, usage, at).cost for usage in (plain, one.usage))
            saved += (without - paid) * one.calls
    except Unpriced:
        return None
    return saved


def _written(usage: Usage) -> int:
    return usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
