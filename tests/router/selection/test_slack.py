"""By which lane an item goes, at what bound, and what a reply by the flex tier is charged."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.router.specs import FRONTIER, a_spec, an_item, policy_of, policy_text
from tierqueue.router.choose import Conditions, choose
from tierqueue.router.errors import InvalidPolicy
from tierqueue.router.item import Latency, WorkItem
from tierqueue.router.outcome import Usage
from tierqueue.router.policy.duration import HOUR_US
from tierqueue.router.policy.lanes import LEAST_US, PROMOTED_US, Lane
from tierqueue.router.policy.policy import Policy, parse_policy
from tierqueue.router.pricing import charge
from tierqueue.router.route import Route
from tierqueue.router.selection.slack import Slack
from tierqueue.router.signals import Signals

NOW = 1_000 * HOUR_US
AT = datetime(2026, 11, 1, tzinfo=UTC)
SPECS = [a_spec("far", FRONTIER, boundary="vendor:b", price=("2", "4"))]
FLEX = '[deployments.far.flex]\nprices = { input = "1", output = "2" }\ntimeout = 600\n'
BATCH = '[deployments.far.batch]\nprices = { input = "0.5", output = "1" }\n'
PLAIN, POLICY, BOTH = (
    parse_policy(policy_text(SPECS) + more, "test") for more in ("", FLEX, FLEX + BATCH)
)
LIVE_BOUND, FLEX_BOUND, BATCH_BOUND = 240_000, 120_000, 60_000
ENOUGH = 10 * 60_000_000 + PROMOTED_US


def routed(
    left: int, policy: Policy = POLICY, *, latency: Latency | None = None, live: bool = False
) -> Route:
    item: WorkItem = an_item(live=live)
    item = replace(item, demands=replace(item.demands, deadline=NOW + left, latency=latency))
    route = choose(item, Signals(100, 10), policy, Conditions(now=NOW))
    assert isinstance(route, Route)
    return route


def test_an_item_with_time_goes_by_the_flex_tier_and_is_bound_by_its_price() -> None:
    route = routed(ENOUGH)
    assert (route.lane, route.bound) == (Lane.FLEX, FLEX_BOUND)
    assert route.to_json()["lane"] == "flex"
    assert route.reasons[-1] == (
        "by the provider's flex tier, at its lower price: 0 h 55 min are left until its deadline"
    )


@pytest.mark.parametrize(
    ("left", "changed", "why"),
    [
        (ENOUGH - 1, {}, "0 h 54 min are left until its deadline, and a call by the flex tier 0 h"),
        (
            24 * HOUR_US,
            {"latency": Latency.INTERACTIVE},
            "not by the flex tier: somebody waits for it",
        ),
        (24 * HOUR_US, {"live": True}, "not by the flex tier: it was refused there"),
    ],
)
def test_what_has_no_time_or_was_refused_goes_live(
    left: int, changed: dict[str, Any], why: str
) -> None:
    route = routed(left, **changed)
    assert (route.lane, route.bound) == (Lane.LIVE, LIVE_BOUND)
    assert why in route.reasons[-1]


def test_batches_come_first_where_there_is_time_for_them() -> None:
    assert (routed(LEAST_US, BOTH).lane, routed(LEAST_US, BOTH).bound) == (Lane.BATCH, BATCH_BOUND)
    assert (routed(LEAST_US - 1, BOTH).lane, routed(LEAST_US - 1, BOTH).bound) == (
        Lane.FLEX,
        FLEX_BOUND,
    )
    assert "not in a batch or by the flex tier" in routed(ENOUGH - 1, BOTH).reasons[-1]


def test_where_no_flex_price_is_stated_nothing_is_said_of_it() -> None:
    assert not any("flex" in reason for reason in routed(ENOUGH, PLAIN).reasons)


@given(
    left=st.integers(0, 48 * HOUR_US),
    urgent=st.booleans(),
    live=st.booleans(),
    batch=st.booleans(),
    flex=st.none() | st.integers(PROMOTED_US, 26 * HOUR_US),
)
def test_a_cheaper_lane_is_for_what_has_the_time_for_it_alone(
    left: int, urgent: bool, live: bool, batch: bool, flex: int | None
) -> None:
    slack = Slack(left, urgent, live)
    lane = slack.lane(batch=batch, flex=flex)
    assert lane is Lane.LIVE or not (urgent or live)
    assert lane is not Lane.BATCH or (batch and left >= LEAST_US)
    assert lane is not Lane.FLEX or (flex is not None and left >= flex)
    if batch or flex is not None:
        assert slack.why(lane, batch=batch, flex=flex)


@pytest.mark.parametrize(
    ("tier", "cost"),
    [("flex", 120_000), ("default", 240_000), ("priority", 240_000), (None, 240_000)],
)
def test_a_reply_is_charged_by_the_tier_that_it_says_served_it(tier: str | None, cost: int) -> None:
    usage = Usage(input_tokens=100, output_tokens=10, service_tier=tier)
    assert charge(POLICY.deployments["far"], usage, AT).cost == cost


def test_where_no_flex_price_is_stated_a_reply_is_charged_by_the_live_one() -> None:
    usage = Usage(input_tokens=100, output_tokens=10, service_tier="flex")
    assert charge(policy_of(SPECS).deployments["far"], usage, AT).cost == 240_000


def test_a_flex_tier_is_for_openai_engines_that_are_paid_by_the_token() -> None:
    house = policy_text([a_spec("far")])
    with pytest.raises(InvalidPolicy, match=r"far: flex is for openai engines"):
        parse_policy(house + FLEX, "test")
    with pytest.raises(InvalidPolicy, match="prices"):
        parse_policy(policy_text(SPECS) + "[deployments.far.flex]\ntimeout = 60\n", "test")


def test_an_older_release_does_not_call_what_has_a_flex_price() -> None:
    there = POLICY.deployments["far"]
    assert there.terms != PLAIN.deployments["far"].terms
    assert (there.longest_call, PLAIN.deployments["far"].longest_call) == (600, 60)
