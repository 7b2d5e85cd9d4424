"""What a ladder of a small model and a frontier one costs for a share of the frontier's accuracy.

The small model is real: the tiny ticket model on BANKING77's test tickets, and so is the
surrogate, both recorded (``bench.ladder_recorded``). The stronger tier is a simulation: it is right
on a stated share of the tickets, drawn by a hash of each, whatever the small one says. Every ticket
is asked of the small model; those it is least sure of go up. With the surrogate, what it answers
costs nothing and goes nowhere, and the rest is asked of the small model.
"""

import argparse
import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from statistics import mean

from bench.ladder_recorded import RECORDED, Outcome, load, recorded, write
from bench.tiny import say
from tierqueue.router.money import NANO_PER_USD
from tierqueue.router.outcome import Usage
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.pricing import charge

STRONG = (0.94, 0.90, 0.97)
"""How often the stronger tier is right; the first is the one of the figures at the top."""
TARGETS = (0.95, 0.99)
SEEDS = 20
BYTES_A_TOKEN = 4
ANSWER_TOKENS = 12
"""What a frontier model is billed for is estimated: so many bytes a token, so long an answer."""


@dataclass(frozen=True, slots=True)
class Prices:
    """Dollars an item: of the small model, and of the frontier model for one of usual size."""

    small: float
    frontier: float


def main() -> None:
    """Print a table and, last, one JSON line; with ``--record`` write the outcomes instead."""
    parser = argparse.ArgumentParser(prog="python -m bench.ladder", description=__doc__)
    parser.add_argument("--record", action="store_true", help="ask the model, write its outcomes")
    parser.add_argument("--train", type=Path, help="with --record: what the surrogate learns from")
    parser.add_argument("--test", type=Path, help="with --record: CSV with text and category")
    parser.add_argument("--gpu-hour", type=float, default=2.0, help="dollars, as the demo's policy")
    parser.add_argument(
        "--items-per-s", type=float, default=268.0, help="of the small model, as it was measured"
    )
    parser.add_argument("--model", default="anthropic/claude-sonnet-4-5", help="list price of")
    parser.add_argument("--plot", type=Path, help="draw the curves to this .png or .svg")
    arguments = parser.parse_args()
    if arguments.record:
        if arguments.train is None or arguments.test is None:
            parser.error("--record needs --train and --test")
        write(asyncio.run(recorded(arguments.train, arguments.test)))
        return
    outcomes = load(RECORDED)
    usual = sum(outcome.prompt_bytes for outcome in outcomes) / len(outcomes)
    prices = Prices(
        arguments.gpu_hour / 3600 / arguments.items_per_s, list_price(arguments.model, usual)
    )
    by_strong = {strong: figures(outcomes, strong, prices) for strong in STRONG}
    for strong, found in by_strong.items():
        say(f"a frontier model that is right on {strong:.0%} (simulated)")
        for target in TARGETS:
            say("  " + line(target, found))
    if arguments.plot is not None:
        draw(arguments.plot, outcomes, prices)
    first = by_strong[STRONG[0]]
    print(
        json.dumps(
            {
                **{f"closed_{round(100 * t)}": first[f"closed_{round(100 * t)}"] for t in TARGETS},
                "tickets": len(outcomes),
                "small_accuracy": round(mean(outcome.right for outcome in outcomes), 4),
                "surrogate": surrogate_figures(outcomes),
                "usd_an_item": {"small": prices.small, "frontier": prices.frontier},
                "model": arguments.model,
                "simulated": "the frontier tier",
                "strong": {str(strong): found for strong, found in by_strong.items()},
            }
        )
    )


Figures = dict[str, float]


def figures(outcomes: Sequence[Outcome], strong: float, prices: Prices) -> Figures:
    """``cost_share``, the ladder's cost as a share of all on frontier, at each target, beside
    random escalation and a perfect detector; ``closed``: of the way from the one to the other, all
    of it where the small model alone reaches the target.
    """
    found: Figures = {"frontier_accuracy": round(mean(strongly(outcomes, strong)), 4)}
    for target in TARGETS:
        name = str(round(100 * target))
        shares = {
            way: cost_share(outcomes, strong, target, prices, order)
            for way, order in ORDERS.items()
            if way != "random"
        }
        shares["random"] = mean(
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
    wanted = target * mean(strongly(outcomes, strong)) * len(outcomes)
    reached = curve(rest, strong, ORDERS["margin"]) if rest else [0.0]
    for up, accuracy in enumerate(reached):
        if good + accuracy * len(rest) >= wanted - 1e-9:
            spent = len(rest) * prices.small + up * prices.frontier
            return spent / (len(outcomes) * prices.frontier)
    return None


def surrogate_figures(outcomes: Sequence[Outcome]) -> Figures:
    """The share of the tickets that it answers, and how often it is right there."""
    answered = [one.surrogate for one in outcomes if one.surrogate is not None]
    right = round(mean(answered), 4) if answered else 0.0
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
    wanted = target * mean(strongly(outcomes, strong))
    up = next(at for at, got in enumerate(curve(outcomes, strong, order)) if got >= wanted)
    return (prices.small + up / len(outcomes) * prices.frontier) / prices.frontier


def strongly(outcomes: Sequence[Outcome], share: float) -> list[bool]:
    """Whether the simulated tier is right on each ticket, by a hash of it."""
    return [
        int.from_bytes(hashlib.sha256(f"frontier {o.ticket}".encode()).digest()[:4]) < share * 2**32
        for o in outcomes
    ]


def list_price(model: str, prompt_bytes: float) -> float:
    """Dollars for one ticket of so many bytes at the list price of ``provider/model``."""
    provider, _, name = model.partition("/")
    stated = {
        "name": "listed",
        "policy": "bench",
        "tier": "frontier",
        "engine": "anthropic",
        "model": name,
        "boundary": f"vendor:{provider}",
        "key_env": "KEY",
        "context_window": 200_000,
        "genai_price": {"provider": provider, "model": name},
    }
    usage = Usage(input_tokens=round(prompt_bytes / BYTES_A_TOKEN), output_tokens=ANSWER_TOKENS)
    cost = charge(Deployment.model_validate(stated), usage, datetime.now(UTC)).cost
    return cost / NANO_PER_USD


def line(target: float, found: Figures) -> str:
    """One target in words."""
    name = str(round(100 * target))
    alone = found[f"random_{name}"] == found[f"perfect_{name}"]
    closed = f"{found[f'closed_{name}']:.0%} closed"
    ends = "the small model alone reaches it" if alone else closed
    below = found.get(f"with_surrogate_{name}")
    with_it = "not reached" if below is None else f"{below:.1%}"
    return (
        f"{target:.0%} of its accuracy: {found[f'cost_share_{name}']:.1%} of its cost"
        f" (random {found[f'random_{name}']:.1%}, perfect {found[f'perfect_{name}']:.1%}; {ends}),"
        f" with the surrogate {with_it}"
    )


def draw(path: Path, outcomes: Sequence[Outcome], prices: Prices) -> None:
    """Accuracy by cost, a line a way of choosing who goes up."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    count = len(outcomes)
    costs = [prices.small / prices.frontier + up / count for up in range(count + 1)]
    for way, order in ORDERS.items():
        axes.plot(costs, curve(outcomes, STRONG[0], order), label=way)
    axes.axhline(mean(strongly(outcomes, STRONG[0])), linestyle=":", label="all on frontier")
    axes.set_xlabel("cost, as a share of all on frontier")
    axes.set_ylabel("accuracy")
    axes.set_title("BANKING77: a small model first, a frontier model (simulated) above it")
    axes.legend()
    figure.savefig(path)


if __name__ == "__main__":
    main()
