"""The price of a share of the frontier's accuracy, on a ladder of a small model and a frontier one.

The small model is real: the tiny ticket model on BANKING77's test tickets, and so is the
surrogate, both recorded (``bench.ladder.recorded``). The stronger tier is a simulation: it is right
on a stated share of the tickets, drawn by a hash of each, whatever the small one says. Every ticket
is asked of the small model; those it is least sure of go up. With the surrogate, what it answers
costs nothing and goes nowhere, and the rest is asked of the small model.
"""

import argparse
import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean

from bench.ladder.figures import (
    ORDERS,
    STRONG,
    TARGETS,
    Figures,
    Prices,
    curve,
    figures,
    strongly,
    surrogate_figures,
)
from bench.ladder.recorded import RECORDED, Outcome, load, recorded, write
from bench.tiny import say
from tierqueue.router.money import NANO_PER_USD
from tierqueue.router.outcome import Usage
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.pricing import charge

BYTES_A_TOKEN = 4
ANSWER_TOKENS = 12
"""What a frontier model is billed for is estimated: so many bytes a token, so long an answer."""


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
