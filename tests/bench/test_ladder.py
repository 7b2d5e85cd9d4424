"""The bench of the ladder: what its curves are, on outcomes that are known."""

import json
import sys

import pytest

from bench import ladder
from bench.ladder import ORDERS, Outcome, Prices, cost_share, curve, figures, load, strongly

PRICES = Prices(small=0.01, frontier=1.0)


def outcomes(count: int = 1_000) -> list[Outcome]:
    """Of which the tenth that the model is least sure of is wrong."""
    return [Outcome(f"t{at}", at >= count // 10, at / count, 100) for at in range(count)]


def test_a_curve_begins_with_the_small_model_and_ends_with_the_frontier() -> None:
    for order in ORDERS.values():
        found = curve(outcomes(), 0.94, order)
        assert found[0] == 0.9
        assert found[-1] == sum(strongly(outcomes(), 0.94)) / 1_000


def test_a_perfect_margin_reaches_the_target_with_few_calls_and_chance_needs_many() -> None:
    found = figures(outcomes(), 0.97, PRICES)
    assert found["perfect_99"] <= found["cost_share_99"] < 0.15 < found["random_99"]
    assert found["closed_99"] > 0.9


def test_a_target_that_the_small_model_reaches_alone_costs_what_it_costs() -> None:
    share = cost_share(outcomes(), 0.90, 0.95, PRICES, ORDERS["margin"])
    assert share == pytest.approx(0.01)
    assert figures(outcomes(), 0.90, PRICES)["closed_95"] == 1.0


def test_the_recorded_outcomes_are_of_the_whole_split_and_close_most_of_the_distance(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(load(ladder.RECORDED)) == 3_080
    monkeypatch.setattr(sys, "argv", ["bench.ladder"])
    monkeypatch.setattr(ladder, "SEEDS", 2)
    ladder.main()
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["closed_99"] >= 0.5
    assert told["closed_95"] >= 0.5
    assert told["simulated"] == "the frontier tier"
