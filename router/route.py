"""A routing decision: where an item goes and why there, or why it goes nowhere."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from tierqueue.router.errors import CostCeilingExceeded, NoRoute, Unpriced
from tierqueue.router.item import Sensitivity, Tier
from tierqueue.router.money import NanoUSD, format_usd
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.lanes import Lane


@dataclass(frozen=True, slots=True)
class Refusal:
    """A deployment that was not chosen and the first rule it breaks.

    Rules, in their order: ``task_type boundary candidate context_window token_limit too_small
    floor pinned fallback vision confidence unpriced max_cost deadline unavailable more_expensive``;
    of two policies side by side ``deployment`` too.
    """

    deployment: str
    rule: str
    why: str

    def to_json(self) -> dict[str, str]:
        """The refusal as plain JSON."""
        return {"deployment": self.deployment, "rule": self.rule, "why": self.why}


CANDIDATE = "candidate"
"""The rule, the last of its kind, that keeps work from a deployment which serves nobody yet."""

_ONLY_HOUSE = frozenset({Sensitivity.CONFIDENTIAL, Sensitivity.REGULATED})


def barred(deployment: Deployment, task: str, sensitivity: Sensitivity) -> Refusal | None:
    """Why no item of this task type and sensitivity goes to this deployment, whatever else holds;
    ``None``: it may.
    """
    if deployment.tasks is not None and task not in deployment.tasks:
        why = f"it does {', '.join(deployment.tasks)} and nothing else"
        return Refusal(deployment.name, "task_type", why)
    if sensitivity in _ONLY_HOUSE and deployment.boundary != "house":
        why = f"{sensitivity} data stays in the house and this is {deployment.boundary}"
        return Refusal(deployment.name, "boundary", why)
    if deployment.candidate:
        return Refusal(deployment.name, CANDIDATE, "it is a candidate, asked in the shadow alone")
    return None


def bars(refusal: Refusal | None, candidate: str | None) -> bool:
    """Whether what ``barred`` says holds for an item whose shadow asks ``candidate``, if any."""
    if refusal is None:
        return False
    return refusal.rule != CANDIDATE or refusal.deployment != candidate


@dataclass(frozen=True, slots=True)
class Route:
    """Where an item goes; ``bound`` is the most the call can cost, in nano-dollars.

    ``stands_in_for`` is the deployment that would have been chosen if it were available;
    ``waits_for`` says why the chosen one is not, where nothing can stand in for it. ``lane``: how
    it is called there; ``bound`` is at the price of that. ``measured``: whether how long such calls
    take bounds it, and not its timeout; ``None``: the price of its tokens does, or nobody counts
    it. ``predictor``: the version of the one that had a part in it.
    """

    tier: Tier
    deployment: str
    bound: NanoUSD
    input_tokens: int
    output_tokens: int
    reasons: tuple[str, ...]
    refusals: tuple[Refusal, ...]
    stands_in_for: str | None = None
    waits_for: str | None = None
    lane: Lane = Lane.LIVE
    measured: bool | None = None
    predictor: str | None = None

    def explain(self, simulated: Collection[str] = ()) -> list[str]:
        """The decision in lines for people; ``simulated``: the deployments that are."""

        def named(deployment: str) -> str:
            return f"{deployment} (simulated)" if deployment in simulated else deployment

        chosen = f"{named(self.deployment)} ({self.tier}), at most {format_usd(self.bound)}"
        others = [f"not {named(refusal.deployment)}: {refusal.why}" for refusal in self.refusals]
        return [chosen, *self.reasons, *others]

    def to_json(self) -> dict[str, Any]:
        """The decision as plain JSON."""
        return {
            "tier": self.tier.value,
            "deployment": self.deployment,
            "bound": int(self.bound),
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "reasons": list(self.reasons),
            "refusals": [refusal.to_json() for refusal in self.refusals],
            **({"stands_in_for": self.stands_in_for} if self.stands_in_for else {}),
            **({"waits_for": self.waits_for} if self.waits_for else {}),
            **({} if self.lane is Lane.LIVE else {"lane": self.lane.value}),
            **({} if self.measured is None else {"measured": self.measured}),
            **({"predictor": self.predictor} if self.predictor else {}),
        }


Choice = Route | NoRoute | CostCeilingExceeded | Unpriced
"""What ``choose`` decides: a route, or why there is none."""
