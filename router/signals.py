"""Signals of an item before it runs, and each tier's chance of being right."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tierqueue.router.item import TIERS, Tier, WorkItem
from tierqueue.router.money import NanoUSD

TOKENS_PER_MESSAGE = 16
"""Most tokens a chat template adds around one message (role, begin and end marks)."""

TOKENS_PER_REQUEST = 256
"""Most tokens a template or provider adds to a request (dates, a built-in system prompt)."""


LEAST = 1 / 30
"""The chance that is left to any tier: nobody is always wrong."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """Chances, 0 to 1: ``right`` that the ``cheaper`` tier is right, ``above`` that the
    ``stronger`` one is, ``rescued`` that it is where the cheaper one is wrong. ``mistake``: what a
    wrong answer costs, in nano-dollars; ``None`` where the policy does not say.
    """

    version: str
    cheaper: Tier
    stronger: Tier
    right: float
    above: float
    rescued: float
    mistake: NanoUSD | None = None

    def chance(self, rank: int) -> float:
        """That a tier of this rank is right; one that was never compared is no better than the
        cheaper one, unless it stands above both.
        """
        return self.above if self._is_stronger(rank) else self.right

    def after(self, rank: int) -> float:
        """The same where the cheaper tier was wrong."""
        return self.rescued if self._is_stronger(rank) else LEAST

    def _is_stronger(self, rank: int) -> bool:
        return rank >= TIERS.index(self.stronger)

    def __str__(self) -> str:
        return (
            f"{self.version}: {self.cheaper} is right with a chance of {self.right:.2f},"
            f" {self.stronger} with {self.above:.2f}, and with {self.rescued:.2f} where"
            f" {self.cheaper} is wrong"
        )


@dataclass(frozen=True, slots=True)
class Signals:
    """Upper bounds, in tokens, on what one call can use.

    ``counted`` has the input of deployments whose own tokenizer counted it, by their names; for
    the others ``input_tokens_bound`` holds. ``images``: what the item's images count as, by
    deployment, beside that. ``predicted``: what a predictor says of it, where one was asked.
    """

    input_tokens_bound: int
    output_tokens_bound: int
    counted: Mapping[str, int] = field(default_factory=dict)
    images: Mapping[str, int] = field(default_factory=dict)
    predicted: Prediction | None = None

    def input_tokens(self, deployment: str) -> int:
        """The most input tokens of a call to this deployment."""
        text = self.counted.get(deployment, self.input_tokens_bound)
        return text + self.images.get(deployment, 0)


def measure(
    item: WorkItem, counted: Mapping[str, int], predicted: Prediction | None = None
) -> Signals:
    """The bounds for ``item``; ``counted`` is the tokens of its prompt by deployment.

    A byte-level tokenizer spends at most one token on each UTF-8 byte; the template around the
    text is covered by the stated overheads. A tokenizer that rewrites text before cutting it has
    no such proof: what it uses above the bound is booked as overage, never clipped.
    """
    overhead = TOKENS_PER_MESSAGE * item.messages + TOKENS_PER_REQUEST
    exact = {name: tokens + overhead for name, tokens in counted.items()}
    return Signals(item.prompt_bytes + overhead, item.output_limit, exact, predicted=predicted)
