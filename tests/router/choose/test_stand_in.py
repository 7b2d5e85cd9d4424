"""Who takes over from a deployment that is unavailable, and who never does."""

from typing import Any

import pytest

from tests.router.specs import a_spec, an_item, policy_of
from tierqueue.router.choose import Conditions, choose
from tierqueue.router.item import Tier
from tierqueue.router.route import Route
from tierqueue.router.signals import Signals

SIGNALS = Signals(1000, 100)
NOW = 1_790_000_000_000_000


def test_another_of_the_same_tier_takes_over_with_its_own_bound_and_says_for_whom() -> None:
    item, conditions = an_item(), Conditions(NOW, {"ours": "down"})
    policy = policy_of(
        [
            a_spec("ours", boundary="vendor:a", price=("1", "1")),
            a_spec("theirs", boundary="vendor:b", price=("5", "5")),
        ]
    )
    usual = choose(item, SIGNALS, policy, Conditions(NOW))
    route = choose(item, SIGNALS, policy, conditions)
    assert isinstance(usual, Route)
    assert isinstance(route, Route)
    assert (usual.deployment, route.deployment, route.stands_in_for) == ("ours", "theirs", "ours")
    assert route.bound == 5 * usual.bound
    assert route.reasons[0] == "in place of ours, which is unavailable: down"
    assert route.to_json()["stands_in_for"] == "ours"


@pytest.mark.parametrize(
    "other",
    [
        {"tier": Tier.OPEN_WEIGHT},
        {"boundary": "vendor:x"},
        {"window": 100},
        {"price": None},
    ],
)
def test_no_other_tier_boundary_or_rule_breaker_takes_over_and_the_item_waits(
    other: dict[str, Any],
) -> None:
    policy = policy_of([a_spec("ours", price=("0.1", "0.1")), a_spec("other", **other)])
    route = choose(an_item(), SIGNALS, policy, Conditions(NOW, {"ours": "down"}))
    assert isinstance(route, Route)
    assert (route.deployment, route.waits_for, route.stands_in_for) == ("ours", "down", None)
