"""The work item and what it demands."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tierqueue.router.errors import InvalidItem
from tierqueue.router.money import NOTHING, NanoUSD

MOST_NAME = 200
"""Characters of a name that people give: of a budget, an account, a task type, a person."""


def given_name(what: str, name: str) -> str:
    """``name``, where it can be kept; raises ``InvalidItem`` for one that is empty, longer than
    ``MOST_NAME`` or no text; ``what`` begins the message.
    """
    if not name.strip() or len(name) > MOST_NAME or not _storable(name):
        raise InvalidItem(f"{what}: {shown(name)!r} is no name, of 1 to {MOST_NAME} characters")
    return name


def shown(text: str) -> str:
    """What somebody gave, as far as a message has to repeat it."""
    return text if len(text) <= MOST_NAME else f"{text[:40]}…"


def _storable(text: str) -> bool:
    """Whether both databases hold it."""
    return "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


class Tier(StrEnum):
    """Where work is done, cheapest first; ``TIERS`` holds the order."""

    GPU = "gpu"
    OPEN_WEIGHT = "open_weight"
    FRONTIER = "frontier"


TIERS: tuple[Tier, ...] = (Tier.GPU, Tier.OPEN_WEIGHT, Tier.FRONTIER)


class BelowTier(StrEnum):
    """Who answers an item below all tiers, without a call; stands wherever its tier would."""

    SURROGATE = "surrogate"
    """A small classifier, trained from accepted answers."""

    REUSED = "reused"
    """An item that asked the same: its accepted answer."""

    RULE = "rule"
    """Words or a table that the policy states."""

    @property
    def in_words(self) -> str:
        """Who answered, as a sentence says it."""
        return _IN_WORDS[self]


_IN_WORDS = {
    BelowTier.SURROGATE: "a surrogate",
    BelowTier.REUSED: "an identical item",
    BelowTier.RULE: "a rule",
}


class Purpose(StrEnum):
    """Why an item that was answered is answered a second time, by somebody else."""

    EXPLORATION = "exploration"
    """To see how another tier does."""

    SHADOW = "shadow"
    """To see how a candidate does, beside whoever answers today."""


class Risk(StrEnum):
    """Who is hurt by a wrong answer, mildest first."""

    INTERNAL = "internal"
    CUSTOMER_FACING = "customer_facing"
    AUTO_APPLIED = "auto_applied"


class Sensitivity(StrEnum):
    """Who may see the payload, laxest first; the order is the declaration's."""

    PUBLIC = "public"
    INTERNAL = "internal"
    CONFIDENTIAL = "confidential"
    REGULATED = "regulated"


def strictest(levels: list[Sensitivity]) -> Sensitivity:
    """The strictest of ``levels`` (at least one)."""
    order = list(Sensitivity)
    return max(levels, key=order.index)


class Latency(StrEnum):
    """Whether somebody waits for the answer."""

    INTERACTIVE = "interactive"
    BACKGROUND = "background"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """The tier an item may fall back to, each only where somebody allowed it in so many words.

    Floor, data boundary and context window hold there all the same.
    """

    on_ceiling: Tier | None = None
    on_throttle: Tier | None = None
    on_outage: Tier | None = None

    def to_json(self) -> dict[str, str] | None:
        """What is allowed as plain JSON; ``None`` where nothing is."""
        allowed = {
            "on_ceiling": self.on_ceiling,
            "on_throttle": self.on_throttle,
            "on_outage": self.on_outage,
        }
        return {name: tier.value for name, tier in allowed.items() if tier is not None} or None

    @classmethod
    def of_json(cls, stored: Mapping[str, str] | None) -> "Fallback":
        """The fallback that ``to_json`` wrote."""
        if not stored:
            return NO_FALLBACK
        return cls(**{name: Tier(tier) for name, tier in stored.items()})


NO_FALLBACK = Fallback()
"""The default: what cannot be done as asked fails loudly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """What an item asks for; ``None`` means "not stated" until the policy's defaults are applied.

    ``deadline`` is epoch microseconds once resolved; ``max_cost`` nano-dollars over all attempts.
    """

    risk: Risk | None = None
    sensitivity: Sensitivity | None = None
    latency: Latency | None = None
    deadline: int | None = None
    max_cost: NanoUSD | None = None
    floor: Tier | None = None
    budget: str | None = None
    fallback: Fallback = NO_FALLBACK


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkItem:
    """One piece of work as the router sees it: what it is and demands, never what it says.

    ``prompt_bytes`` is the UTF-8 size of the whole prompt, ``output_limit`` the most tokens the
    answer may have; ``refused_by`` holds the tiers whose answers validation has rejected,
    ``too_small`` the deployments that cannot hold it, with why (see ``escalation.too_small_too``);
    ``spent`` what the item has cost so far, in nano-dollars; ``only`` is the tier it fell back to;
    ``pinned`` the one tier that an evaluation or a second item asks, whatever comes of it;
    ``candidate`` the one deployment that a shadow asks;
    ``min_confidence`` the least confidence with which its answer is accepted; ``live``: it was in a
    batch that came to nothing; ``called``: a call was made for it before. ``images``: the width and
    height in pixels of each that goes with the prompt.
    """

    id: str
    task: str
    demands: Demands
    prompt_bytes: int
    messages: int = 2
    output_limit: int
    refused_by: tuple[Tier, ...] = ()
    too_small: Mapping[str, str] = field(default_factory=dict)
    spent: NanoUSD = NOTHING
    only: Tier | None = None
    pinned: Tier | None = None
    candidate: str | None = None
    min_confidence: float | None = None
    live: bool = False
    called: bool = False
    images: tuple[tuple[int, int], ...] = ()
