"""Figures of a ladder: its cost for a share of the frontier's accuracy, from known outcomes."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from statistics import fmean

from bench.ladder.recorded import Outcome

STRONG = (0.94, 0.90, 0.97)
"""How often the stronger tier is right; the first is the one of the figures at the top."""
TARGETS = (0.95, 0.99)
SEEDS = 20


@dataclass(frozen=True, slots=True)
class Prices:
    """Dollars an item: of the small model, and of the frontier model for one of usual size."""

    small: float
    frontier: float


Figures = dict[str, float]


def figures(outcomes: Sequence[Outcome], strong: float, prices: Prices) -> Figures:
    """``cost_share``, the ladder's cost as a share of all on frontier, at each target, beside
    random escalation and a perfect detector; ``closed``: of the way from the one to the other, all
    of it where the small model alone reaches the target.
    """
    found: Figures = {"frontier_accuracy": round(fmean(strongly(outcomes, strong)), 4)}
    for target in TARGETS:
        name = str(round(100 * target))
        shares = {
            way: cost_share(outcomes, strong, target, prices, order)
            for way, order in ORDERS.items()
            if way != "random"
        }
        shares["random"] = fmean(
            cost_share(outcomes, strong, target, prices, shuffled(seed)) for seed in range(SEEDS)
        )
        for way, share in shares.items():
            found[f"cost_share_{name}" if way == "margin" else f"{way}_{name}"] = round(share, 4)
        to_close = shares["random"] - shares["perfect"]
        closed = 1.0 if to_close < 1e-9 else (shares["random"] - shares["margin"]) / to_close
        found[f"closed_{name}"] = round(closed, 4)
        below = below_share(outcomes, strong, target, prices)
        if below is not None:
            found[f"with_surrogate_{name}"] = round(below, 4)
    return found


def below_share(
    outcomes: Sequence[Outcome], strong: float, target: float, prices: Prices
) -> float | None:
    """As ``cost_share`` by margin, where the surrogate answers first; ``None``: what it answers and
    gets wrong keeps the target out of reach.
    """
    rest = [outcome for outcome in outcomes if outcome.surrogate is None]
    good = sum(outcome.surrogate is True for outcome in outcomes)
    wanted = target * fmean(strongly(outcomes, strong)) * len(outcomes)
    reached = curve(rest, strong, ORDERS["margin"]) if rest else [0.0]
    for up, accuracy in enumerate(reached):
        if good + accuracy * len(rest) >= wanted - 1e-9:
            spent = len(rest) * prices.small + up * prices.frontier
            return spent / (len(outcomes) * prices.frontier)
    return None


def surrogate_figures(outcomes: Sequence[Outcome]) -> Figures:
    """The share of the tickets that it answers, and how often it is right there."""
    answered = [one.surrogate for one in outcomes if one.surrogate is not None]
    right = round(fmean(answered), 4) if answered else 0.0
    return {"coverage": round(len(answered) / len(outcomes), 4), "right": right}


Order = Callable[[Sequence[Outcome], Sequence[bool]], list[float]]
"""Who goes up first: the least score."""


def _by_margin(outcomes: Sequence[Outcome], _: Sequence[bool]) -> list[float]:
    return [outcome.margin for outcome in outcomes]


def _perfectly(outcomes: Sequence[Outcome], right: Sequence[bool]) -> list[float]:
    return [float(o.right) - float(r) for o, r in zip(outcomes, right, strict=True)]


def shuffled(seed: int) -> Order:
    """By chance."""

    def order(outcomes: Sequence[Outcome], _: Sequence[bool]) -> list[float]:
        random = Random(seed)
        return [random.random() for _ in outcomes]

    return order


ORDERS: Mapping[str, Order] = {
    "margin": _by_margin,
    "perfect": _perfectly,
    "random": shuffled(0),
}


def curve(outcomes: Sequence[Outcome], strong: float, order: Order) -> list[float]:
    """The ladder's accuracy where 0, 1, 2 … tickets go up."""
    right = strongly(outcomes, strong)
    scores = order(outcomes, right)
    good = sum(outcome.right for outcome in outcomes)
    found = [good / len(outcomes)]
    for at in sorted(range(len(outcomes)), key=lambda at: (scores[at], outcomes[at].ticket)):
        good += right[at] - outcomes[at].right
        found.append(good / len(outcomes))
    return found


def cost_share(
    outcomes: Sequence[Outcome], strong: float, target: float, prices: Prices, order: Order
) -> float:
    """The least cost at which ``target`` of the frontier's accuracy is reached, as a share of all
    on frontier.
    """
    wanted = target * fmean(strongly(outcomes, strong))
    up = next(at for at, got in enumerate(curve(outcomes, strong, order)) if got >= wanted)
    return (prices.small + up / len(outcomes) * prices.frontier) / prices.frontier


def strongly(outcomes: Sequence[Outcome], share: float) -> list[bool]:
    """Whether the simulated tier is right on each ticket, by a hash of it."""
    return [_place(outcome.ticket) < share for outcome in outcomes]


@cache
def _place(ticket: str) -> float:
    """Between 0 and 1, always the same for a ticket."""
    return int.from_bytes(hashlib.sha256(f"frontier {ticket}".encode()).digest()[:4]) / 2**32
