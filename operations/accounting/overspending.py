"""Work that goes to an expensive tier where a cheaper one passes it, and what a change would save.

The cheaper deployment is asked first, and as often as its answer does not pass, the expensive one
after it: it is paid for every item, and saves what the expensive one costs as often as it passes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tierqueue.ledger.accounting.spending import CallHistory
from tierqueue.ledger.evaluation.first_answers import FirstAnswers, LabelCounts
from tierqueue.router.item import TIERS, Sensitivity, Tier
from tierqueue.router.learned.certify import Interval, share_of
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.policy import Policy
from tierqueue.router.route import barred
from tierqueue.router.selection.evidence import ENOUGH, ByDeployment


@dataclass(frozen=True, slots=True, kw_only=True)
class CheaperDeployment:
    """Who could do it: ``passes`` is the share of its answers that are accepted and, by labels,
    right; ``saves`` what that comes to over all items, in nano-dollars. Both are ``None`` where too
    little is known: of ``answers`` answers, ``labels`` of which were judged.
    """

    tier: Tier
    deployment: str
    answers: int
    labels: int
    passes: Interval | None = None
    saves: Interval | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overspending:
    """Items of one task type that one deployment answered first; ``cost`` in nano-dollars.

    ``floor``: the floor that keeps them from ``cheaper``, ``None`` where no floor does. ``cheaper``
    is ``None`` where no cheaper tier may see them or none would save anything.
    """

    task: str
    deployment: str
    sensitivity: str
    simulated: bool
    items: int
    cost: int
    floor: str | None
    cheaper: CheaperDeployment | None


def overspent(
    answers: Sequence[FirstAnswers],
    policy: Policy,
    evidence: Mapping[str, ByDeployment],
    judged: Mapping[tuple[str, str], LabelCounts],
    past: Mapping[str, Mapping[tuple[str, bool], CallHistory]],
) -> list[Overspending]:
    """What each group of answers could have been spared, the most first; nothing is sent.

    The data boundary holds: who may not see an item is no candidate. A floor is named, since
    somebody may lower it. ``evidence`` and ``past`` are by task type.
    """
    found: list[Overspending] = []
    for group in answers:
        at = policy.deployments.get(group.deployment)
        if at is None:
            continue
        known = evidence.get(group.task, {})
        candidates = [
            _cheaper(group, there, known, judged, past.get(group.task, {}), policy)
            for there in policy.deployments.values()
            if TIERS.index(there.tier) < TIERS.index(at.tier)
            and there.simulated == at.simulated
            and barred(there, group.task, _sensitivity(group)) is None
        ]
        best = _best(candidates)
        kept = None
        if best is not None and group.floor is not None:
            below = TIERS.index(best.tier) < TIERS.index(Tier(group.floor))
            kept = group.floor if below else None
        found.append(
            Overspending(
                task=group.task,
                deployment=group.deployment,
                sensitivity=_sensitivity(group).value,
                simulated=group.simulated,
                items=group.items,
                cost=group.cost,
                floor=kept,
                cheaper=best,
            )
        )
    return sorted(found, key=lambda one: (-_saved(one.cheaper), one.task, one.deployment))


def _sensitivity(group: FirstAnswers) -> Sensitivity:
    return Sensitivity(group.sensitivity or Sensitivity.REGULATED)


def _saved(cheaper: CheaperDeployment | None) -> float:
    return 0.0 if cheaper is None or cheaper.saves is None else cheaper.saves.value


def _best(candidates: Sequence[CheaperDeployment]) -> CheaperDeployment | None:
    """The one that saves the most; where none is known to save, one of which too little is."""
    saving = [one for one in candidates if _saved(one) > 0]
    if saving:
        return max(saving, key=lambda one: (_saved(one), one.deployment))
    unknown = [one for one in candidates if one.passes is None]
    return max(unknown, key=lambda one: (one.answers, one.deployment), default=None)


def _cheaper(
    group: FirstAnswers,
    there: Deployment,
    known: ByDeployment,
    judged: Mapping[tuple[str, str], LabelCounts],
    past: Mapping[tuple[str, bool], CallHistory],
    policy: Policy,
) -> CheaperDeployment:
    seen, said = known.get(there.name), judged.get((group.task, there.name), LabelCounts(0, 0))
    before = past.get((there.name, there.simulated))
    answers = 0 if seen is None else seen.answers
    if seen is None or not seen.enough or before is None or not before.items:
        return CheaperDeployment(
            tier=there.tier, deployment=there.name, answers=answers, labels=said.answers
        )
    passes = share_of(seen.accepted, seen.answers)
    if said.answers >= ENOUGH:
        # Both at once: an answer passes where it is accepted, and right.
        right = share_of(said.right, said.answers)
        wrong = said.answers - said.right
        whole = share_of(min(seen.answers, seen.accepted + wrong), seen.answers)
        passes = Interval(whole.low * right.low, whole.value * right.value, whole.high * right.high)
    now = group.cost / group.items
    # By the hour one more item costs nothing, and no ceiling counts it.
    more = before.cost / before.items if policy.counts(there) else 0.0
    saves = Interval(*(group.items * (share * now - more) for share in _ends(passes)))
    return CheaperDeployment(
        tier=there.tier,
        deployment=there.name,
        answers=seen.answers,
        labels=said.answers,
        passes=passes,
        saves=saves,
    )


def _ends(between: Interval) -> tuple[float, float, float]:
    return between.low, between.value, between.high
