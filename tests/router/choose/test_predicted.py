"""What a predictor says, in the order of candidates: expected cost per accepted answer."""

from dataclasses import replace

import pytest

from tests.router.selection.test_fitting import BEST, CHEAP, SIGNALS, route_to
from tests.router.specs import FRONTIER, OPEN, a_spec, an_item, policy_of
from tierqueue.router.choose import Conditions, choose
from tierqueue.router.item import Tier
from tierqueue.router.money import NanoUSD
from tierqueue.router.signals import LEAST, Prediction


def said(
    right: float, above: float, rescued: float = 0.5, mistake: int | None = None
) -> Prediction:
    cost = None if mistake is None else NanoUSD(mistake)
    return Prediction("gain-1", OPEN, FRONTIER, right, above, rescued, cost)


def taken(predicted: Prediction) -> str:
    signals = replace(SIGNALS, predicted=predicted)
    return route_to(choose(an_item(), signals, policy_of([CHEAP, BEST]), Conditions(0))).deployment


def test_the_cheaper_tier_is_left_out_where_it_is_too_seldom_right_for_its_price() -> None:
    # It costs a quarter.
    assert taken(said(0.9, 0.95)) == taken(said(0.5, 0.95, rescued=0.9)) == "cheap"
    assert taken(said(0.1, 0.95, rescued=0.9)) == "best"


def test_where_the_stronger_tier_does_not_help_either_the_cheaper_one_goes_first() -> None:
    # Of what both get wrong nothing is gained above: the item is as hard there.
    assert taken(said(0.2, 0.2, rescued=0.9)) == "cheap"


def test_by_the_price_of_a_mistake_the_gain_alone_decides() -> None:
    assert taken(said(0.9, 0.95, mistake=0)) == "cheap"
    costly = 10**9
    assert taken(said(0.5, 0.9, mistake=costly)) == "best"
    assert taken(said(0.9, 0.9, mistake=costly)) == taken(said(0.9, 0.8, mistake=costly)) == "cheap"


def test_a_tier_that_was_never_compared_is_no_better_than_the_cheaper_one() -> None:
    found = said(0.4, 0.9)
    ranks = list(Tier)
    assert [found.chance(rank) for rank in range(len(ranks))] == [0.4, 0.4, 0.9]
    assert [found.after(rank) for rank in range(len(ranks))] == [LEAST, LEAST, 0.5]


def test_two_of_a_tier_are_told_apart_by_their_price() -> None:
    other = a_spec("another", OPEN, price=("2", "3"))
    signals = replace(SIGNALS, predicted=said(0.9, 0.95))
    policy = policy_of([other, CHEAP, BEST])
    route = route_to(choose(an_item(), signals, policy, Conditions(0)))
    assert route.deployment == "cheap"
    assert route.predictor == "gain-1"
    assert str(signals.predicted) in route.reasons
    assert route.to_json()["predictor"] == "gain-1"


@pytest.mark.parametrize("right", [0.0, LEAST, 0.5, 1.0])
def test_a_decision_is_the_same_each_time(right: float) -> None:
    assert taken(said(right, 0.9)) == taken(said(right, 0.9))
