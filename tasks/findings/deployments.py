"""Deployments that cannot serve: since when, for how many items, and what has to be mended."""

from collections.abc import Iterator, Mapping

from tierqueue.router.condition import Condition
from tierqueue.router.item import TIERS, Tier
from tierqueue.router.outcome import Trouble
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.duration import SECOND_US
from tierqueue.tasks.findings.finding import STUCK_SECONDS, Facts, Finding, alive
from tierqueue.tasks.plural import count

_MEND: Mapping[Trouble, str] = {
    "outage": "look at its provider's status page, or at the log of its server",
    "reply_lost": "look at its provider's status page; what each lost reply was billed in the end:"
    " tierqueue reconcile",
    "unreachable": "is its address right, and can the {tier} workers reach it?",
    "engine_dead": "read the log of the {tier} worker: why does its engine not run?",
    "engine_died": "read the log of the {tier} worker: why did its engine go down?",
    "unauthorized": "put a key that is valid into {key} and restart the {tier} workers",
    "quota": "add credit to the provider's account, or raise its limit there",
    "not_found": "correct its model or address in the policy, then restart all processes",
    "no_key": "set {key} for the {tier} workers and restart them",
    "undeclared_simulation": "its answers are simulated: say simulated = true of it in the policy,"
    " or correct its address",
    "unreadable_bill": "compare what it reports with the provider's figures: tierqueue reconcile",
    "wrong_model": "correct its model or address in the policy, or allow the model that answers",
    "throttled": "lower its limits in the policy, or call it less at once: tierqueue concurrency"
    " set {tier} N",
}

_UNKNOWN = "look at it, and at the log of the {tier} workers"
"""Of what a release after this one wrote down."""


def findings(facts: Facts) -> Iterator[Finding]:
    """Every deployment's that is held back, in the order of the tiers.

    Wrong is one that somebody has to mend, until its workers were restarted or it was acknowledged
    since its last refusal: where nothing waits for it, nothing else would ever show that it is.
    """
    held = [
        condition
        for name, condition in facts.conditions.items()
        if condition.held and name in facts.deployments
    ]
    order = {tier: place for place, tier in enumerate(TIERS)}
    for condition in sorted(held, key=lambda c: (order[_of(facts, c).tier], c.deployment)):
        said_mended = _said_mended(facts, condition)
        yield (
            _held(facts, condition)
            if said_mended is None
            else _untried(facts, condition, said_mended)
        )
    yield from _breakers(facts)


def mend(code: Trouble | None, deployment: Deployment) -> str:
    """What somebody can do about it."""
    key = deployment.key_env or "its key's variable"
    return _MEND.get(code or "outage", _UNKNOWN).format(tier=deployment.tier, key=key)


def stopped(facts: Facts, tier: Tier) -> bool:
    """Whether no deployment of a tier serves, so that nothing of it can end."""
    states = [
        name in facts.conditions and facts.conditions[name].held
        for name, deployment in facts.deployments.items()
        if deployment.tier is tier
    ]
    return bool(states) and all(states)


def _held(facts: Facts, condition: Condition) -> Finding:
    deployment = _of(facts, condition)
    waiting = waits_for(facts, condition.deployment)
    seconds = max(0, facts.now - (condition.since or facts.now)) / SECOND_US
    lasts = seconds > STUCK_SECONDS and condition.code != "throttled"
    lasts = lasts or condition.lasting
    again = condition.wait(facts.now)
    code = condition.code or "outage"
    return Finding(
        code="deployment_stopped",
        wrong=condition.needs_somebody or (lasts and waiting > 0),
        what=f"deployment {condition.deployment} ({deployment.tier}) is not called:"
        f" {condition.in_words()}, for {seconds:.0f} s;"
        f" {count(waiting, 'item', 'waits', 'wait')} for it",
        meanwhile=_meanwhile(waiting, again),
        do=mend(condition.code, deployment),
        detail={
            "deployment": condition.deployment,
            "tier": deployment.tier.value,
            "trouble": code,
            "since_seconds": seconds,
            "again_seconds": again,
            "faults": condition.faults,
            "waiting_items": waiting,
        },
    )


def _said_mended(facts: Facts, condition: Condition) -> str | None:
    """What a person has done since the last refusal, where only an item can tell if it helped."""
    last = condition.faulted_at
    if not condition.needs_somebody or last is None or waits_for(facts, condition.deployment):
        return None
    tier = _of(facts, condition).tier
    workers = alive(facts.progress.processes, "worker", tier)
    if workers and all(worker.up < (facts.now - last) / SECOND_US for worker in workers):
        return f"the {tier} workers were restarted"
    if (facts.acknowledged_at or 0) > last:
        return "somebody acknowledged it"
    return None


def _untried(facts: Facts, condition: Condition, since: str) -> Finding:
    deployment = _of(facts, condition)
    seconds = max(0, facts.now - (condition.faulted_at or facts.now)) / SECOND_US
    return Finding(
        code="deployment_untried",
        wrong=False,
        what=f"deployment {condition.deployment} ({deployment.tier}) was last refused"
        f" {seconds:.0f} s ago: {condition.in_words()}; {since} since, and it was not tried",
        meanwhile="the next item for it tries it; if it is refused again, it waits",
        do="nothing, if that is mended; to be sure, submit an item that goes there",
        detail={
            "deployment": condition.deployment,
            "tier": deployment.tier.value,
            "trouble": condition.code,
            "refused_seconds": seconds,
        },
    )


def _meanwhile(waiting: int, again: float) -> str:
    if not waiting and not again:
        return "nothing waits for it, so nothing tries it: the next item for it does"
    return (
        f"one item at a time tries it again, {f'in {again:.0f} s' if again else 'now'}; what waits"
        " uses up no calls, goes on once it serves, and ends at its deadline if that comes first"
    )


def waits_for(facts: Facts, deployment: str) -> int:
    """Items routed to it that neither run nor have ended, as far as they were counted."""
    waiting = sum(group.items for group in facts.progress.waiting if group.deployment == deployment)
    return waiting + facts.routed.get(deployment, 0)


def _of(facts: Facts, condition: Condition) -> Deployment:
    return facts.deployments[condition.deployment]


def _breakers(facts: Facts) -> Iterator[Finding]:
    """What workers of a release before this one stopped calling, each for itself."""
    workers: dict[str, int] = {}
    for tier in TIERS:
        for worker in alive(facts.progress.processes, "worker", tier):
            for name in worker.detail.get("breakers_open", ()):
                workers[name] = workers.get(name, 0) + 1
    for name, number in sorted(workers.items()):
        if name in facts.conditions and facts.conditions[name].held:
            continue
        waiting = waits_for(facts, name)
        yield Finding(
            code="deployment_stopped",
            wrong=waiting > 0,
            what=f"{count(number, 'worker')} stopped calling {name}, which failed several times in"
            f" a row; {count(waiting, 'item', 'waits', 'wait')} for it",
            meanwhile="it is tried again every few seconds; what waits goes on once it answers,"
            " and ends at its deadline if that comes first",
            do=f"look at {name}: its address, its key, the provider's status page",
            detail={"deployment": name, "workers": number, "waiting_items": waiting},
        )
