"""No second item passes a wall or a ceiling that holds for the first, whatever the policy says."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.ledger.claimed import a_claim, an_item
from tierqueue.ledger.records import Item
from tierqueue.router.item import TIERS, Sensitivity, Tier
from tierqueue.router.outcome import Accepted, Completed, Usage
from tierqueue.router.policy.policy import Policy, parse_policy
from tierqueue.tasks.routing.decide import choose_all, demands_of
from tierqueue.tasks.settle.decide import settlement
from tierqueue.tasks.settle.write import Verdict

SECOND = 1_000_000
RULES = """
ceilings_count = "everything"
[tasks.t.explore]
share = 0.5
[tasks.t.shadow]
share = 1
deployment = "d0"
[[ceilings]]
scope = "purpose"
limit = "1usd"
"""
DEPLOYMENT = """
[deployments.d{number}]
tier = "{tier}"
engine = "openai"
model = "m"
key_env = "KEY"
boundary = "{boundary}"
context_window = {window}
candidate = {candidate}
prices = {{ input = "{price}", output = "{price}" }}
"""
DEPLOYMENTS = st.lists(
    st.fixed_dictionaries(
        {
            "tier": st.sampled_from([tier.value for tier in TIERS]),
            "boundary": st.sampled_from(["house", "vendor:v"]),
            "window": st.sampled_from([200, 32_000]),
            "candidate": st.sampled_from(["true", "false"]),
            "price": st.sampled_from([1, 10]),
        }
    ),
    min_size=2,
    max_size=5,
)
ITEMS = st.fixed_dictionaries(
    {
        "id": st.uuids().map(str),
        "sensitivity": st.sampled_from([level.value for level in Sensitivity]),
        "floor": st.sampled_from([None, *(tier.value for tier in TIERS)]),
        "max_cost": st.sampled_from([None, 200_000, 2_000_000]),
        "spent": st.sampled_from([0, 150_000]),
        "refused_by": st.sampled_from([None, ["gpu"], ["gpu", "open_weight"]]),
        "pinned": st.sampled_from([None, None, None, "gpu"]),
        "latency": st.sampled_from([None, "interactive"]),
    }
)


def made(policy: Policy, item: Item, deployment: str, cost: int) -> Any:
    usage = Usage(input_tokens=cost // 1_000, output_tokens=0)
    done = Completed(text="{}", usage=usage, model_served="m", seconds=0.5)
    return settlement(
        a_claim(item, held=cost, started_at=10 * SECOND),
        policy.deployments[deployment],
        Accepted(output={"a": 1}, completed=done, prompt_version="1"),
        policy,
        now=12 * SECOND,
        draw=0.5,
        verdict=Verdict(condition=None, own=False),
        stopped=False,
    )


CHEAP = {"boundary": "house", "window": 32_000, "price": 1}
TWO_SECONDS = (
    [
        {"tier": "frontier", "candidate": "true", **CHEAP},
        {"tier": "gpu", "candidate": "false", **CHEAP},
        {"tier": "open_weight", "candidate": "false", **CHEAP},
    ],
    {"id": "i0", "max_cost": 2_000_000, "spent": 150_000},
)
"""Deployments, and an item drawn for both purposes, that has enough left for two."""


@example(*TWO_SECONDS, "")
@given(DEPLOYMENTS, ITEMS, st.sampled_from(["", '[[floors]]\nfloor = "open_weight"\n']))
def test_no_second_item_passes_a_wall_or_a_ceiling(
    deployments: list[dict[str, Any]], stated: dict[str, Any], floors: str
) -> None:
    text = "".join(DEPLOYMENT.format(number=n, **one) for n, one in enumerate(deployments))
    policy = parse_policy(RULES + floors + text, "test")
    item = an_item(**stated, deadline=10**12)
    found = made(policy, item, "d1", 50_000)
    assert found == made(policy, item, "d1", 50_000)
    demands = demands_of(item, policy, 12 * SECOND)
    assert demands.floor is not None
    if item.max_cost is not None:
        # All together, whatever each of them comes to.
        own = sum(second.stated["max_cost"] for second in found.again)
        assert not found.again or item.spent + found.cost + own <= item.max_cost
        assert all(second.bound <= second.stated["max_cost"] for second in found.again)
    for second in found.again:
        again = an_item(
            id="again",
            refused_by=item.refused_by,
            stated=second.stated,
            inherits=second.sensitivity,
            pinned=second.pinned,
            lane=second.lane,
            candidate=second.candidate,
            purpose=second.purpose,
            second_to=item.id,
        )
        chosen = choose_all([again], policy, 13 * SECOND, {})
        assert not chosen.deaths
        (route,) = chosen.routed
        at = policy.deployments[route.deployment]
        assert item.pinned is None
        assert at.boundary == "house" or demands.sensitivity in ("public", "internal")
        assert TIERS.index(at.tier) >= TIERS.index(demands.floor)
        assert at.tier.value not in (item.refused_by or ())
        assert route.token_bound <= at.context_window
        assert (route.latency, route.fallback) == ("background", None)
        assert route.bound == second.bound
        if item.max_cost is not None:
            assert item.spent + found.cost + route.bound <= item.max_cost
        if second.purpose == "shadow":
            assert route.deployment == "d0"
        else:
            assert at.tier is not policy.deployments["d1"].tier
            assert not at.candidate
    # Whatever is a candidate is chosen for nobody's work.
    own = choose_all([replaced(item)], policy, 13 * SECOND, {}).routed
    assert not any(policy.deployments[route.deployment].candidate for route in own)


def replaced(item: Item) -> Item:
    return item._replace(refused_by=None, pinned=None)


def test_of_many_items_a_share_is_drawn_and_the_same_ones_again() -> None:
    text = "".join(
        DEPLOYMENT.format(
            number=n, tier=tier.value, boundary="house", window=32_000, candidate="false", price=1
        )
        for n, tier in enumerate((Tier.FRONTIER, Tier.GPU, Tier.OPEN_WEIGHT))
    )
    policy = parse_policy(RULES.replace("share = 0.5", "share = 0.1") + text, "test")
    items = [an_item(id=f"item-{n}", deadline=10**12) for n in range(500)]
    drawn = [
        item.id
        for item in items
        if any(one.purpose == "exploration" for one in made(policy, item, "d1", 1_000).again)
    ]
    assert 25 <= len(drawn) <= 75
    more = parse_policy(RULES.replace("share = 0.5", "share = 0.2") + text, "test")
    wider = [
        item.id
        for item in items
        if any(one.purpose == "exploration" for one in made(more, item, "d1", 1_000).again)
    ]
    assert set(drawn) < set(wider)


@pytest.mark.parametrize("left", ["both", "one"])
def test_two_second_items_of_one_share_what_it_has_left_or_only_the_first_is_made(
    left: str,
) -> None:
    text = "".join(
        DEPLOYMENT.format(
            number=n, tier=tier, boundary="house", window=32_000, candidate=candidate, price=10
        )
        for n, (tier, candidate) in enumerate(
            (("frontier", "true"), ("gpu", "false"), ("open_weight", "false"))
        )
    )
    policy = parse_policy(RULES + text, "test")
    unbounded = next(
        found
        for found in (
            made(policy, an_item(id=f"i{n}", deadline=10**12), "d1", 50) for n in range(99)
        )
        if len(found.again) == 2
    )
    bounds = [second.bound for second in unbounded.again]
    most = unbounded.cost + (2 * max(bounds) if left == "both" else sum(bounds) - 1)
    item = an_item(id=unbounded.item_id, deadline=10**12, max_cost=most)
    found = made(policy, item, "d1", 50)
    purposes = [second.purpose for second in found.again]
    assert purposes == ["exploration", "shadow"][: 2 if left == "both" else 1]
    assert found.cost + sum(second.stated["max_cost"] for second in found.again) <= most
