"""The bench of the ladder: what its curves are, on outcomes that are known."""

import json
import sys
from dataclasses import replace

import pytest

from bench.ladder import __main__ as ladder
from bench.ladder import figures as counted
from bench.ladder.figures import ORDERS, Prices, below_share, cost_share, curve, figures, strongly
from bench.ladder.recorded import RECORDED, Outcome, load

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


def test_what_the_surrogate_answers_costs_nothing_and_goes_nowhere() -> None:
    # It answers the half of which the model is surest, and rightly.
    known = [replace(one, surrogate=True) if one.margin >= 0.5 else one for one in outcomes()]
    share = below_share(known, 0.97, 0.99, PRICES)
    assert share is not None
    assert share < cost_share(known, 0.97, 0.99, PRICES, ORDERS["margin"])
    # It is wrong in all that it answers: no money reaches the target.
    wrong = [replace(one, surrogate=False) if one.margin >= 0.5 else one for one in outcomes()]
    assert below_share(wrong, 0.97, 0.99, PRICES) is None


def test_the_recorded_outcomes_are_of_the_whole_split_and_close_most_of_the_distance(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(load(RECORDED)) == 3_080
    monkeypatch.setattr(sys, "argv", ["bench.ladder"])
    monkeypatch.setattr(counted, "SEEDS", 2)
    ladder.main()
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["closed_99"] >= 0.5
    assert told["closed_95"] >= 0.5
    assert told["surrogate"]["coverage"] >= 0.85
    first = told["strong"]["0.94"]
    assert first["with_surrogate_99"] < first["cost_share_99"]
    assert told["simulated"] == "the frontier tier"
