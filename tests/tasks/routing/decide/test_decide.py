"""The routing stage resolves what an item demands before anything is chosen."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ledger.claimed import an_item
from tests.ledger.priced import PRICED as PRICED_TIERS
from tierqueue.ledger.records import Item
from tierqueue.router.condition import Condition
from tierqueue.router.item import Sensitivity, Tier
from tierqueue.router.policy.policy import parse_policy
from tierqueue.router.selection.evidence import Evidence, probes
from tierqueue.tasks.routing.decide import choose_all, may_fall, work_item_of
from tierqueue.tasks.routing.measurements import Measurements

POLICY = parse_policy('default_sensitivity = "internal"', "test")
STRICT = parse_policy("", "test")


@pytest.mark.parametrize(
    ("policy", "stated", "inherits", "resolved"),
    [
        (POLICY, None, None, "internal"),
        (STRICT, None, None, "regulated"),
        (POLICY, None, "public", "internal"),
        (STRICT, None, "public", "regulated"),
        (POLICY, "public", "confidential", "confidential"),
        (POLICY, "regulated", "public", "regulated"),
    ],
)
def test_an_item_is_never_laxer_than_it_says_the_policy_says_or_its_predecessors_were(
    policy: Any, stated: str | None, inherits: str | None, resolved: str
) -> None:
    item = work_item_of(an_item(sensitivity=stated, inherits=inherits), policy, 0)
    assert item.demands.sensitivity == Sensitivity(resolved)


def test_an_item_that_fell_back_may_be_routed_to_that_tier_only_as_long_as_it_still_may() -> None:
    degraded = {"to": "gpu", "from": "best", "on": "ceiling"}
    allowed = {"degraded": degraded, "fallback": {"on_ceiling": "gpu"}, "risk": "internal"}
    assert work_item_of(an_item(**allowed), POLICY, 0).only is Tier.GPU
    assert work_item_of(an_item(), POLICY, 0).only is None
    withdrawn = {**allowed, "fallback": None}
    assert work_item_of(an_item(**withdrawn), POLICY, 0).only is None
    raised = parse_policy('[[floors]]\nfloor = "frontier"', "test")
    assert work_item_of(an_item(**allowed), raised, 0).only is None


HELD = Condition(deployment="house", code="outage", detail="HTTP 503", since=5, until=9)


@pytest.mark.parametrize(("deployment", "said"), [("house", True), ("other", False), (None, False)])
def test_an_item_that_comes_back_from_an_outage_too_late_says_what_it_waited_for(
    deployment: str | None, said: bool
) -> None:
    item = an_item(deployment=deployment, deadline=10)
    [death] = choose_all([item], POLICY, 2_000_010, {}, {"house": HELD}).deaths
    assert (death.reason, "missed its deadline by 2.0 s" in death.message) == ("deadline", True)
    assert ("it waited for house: outage (HTTP 503), 2 s" in death.message) is said
    assert ("waited_for" in death.fields) is said


PRICED = parse_policy('default_sensitivity = "internal"\n' + PRICED_TIERS, "test")


@pytest.mark.parametrize(("pinned", "deployment"), [("gpu", "small"), ("frontier", "best")])
def test_a_pinned_item_goes_to_its_tier_alone(pinned: str, deployment: str) -> None:
    item = an_item(pinned=pinned, risk="internal", fallback={"on_outage": "gpu"})
    chosen = choose_all([item], PRICED, 0, {})
    assert [route.deployment for route in chosen.routed] == [deployment]
    assert chosen.routed[0].fallback is None
    assert may_fall(item, "on_outage", 0, PRICED, 0) is None


def test_no_wall_opens_for_a_pinned_item() -> None:
    item = an_item(pinned="gpu", risk="internal", floor="frontier")
    chosen = choose_all([item], PRICED, 0, {})
    assert [death.reason for death in chosen.deaths] == ["no_route"]
    secret = an_item(pinned="frontier", risk="internal", sensitivity="regulated")
    assert choose_all([secret], PRICED, 0, {}).deaths[0].reason == "no_route"


KNOWN = Measurements(
    evidence={
        "t": {
            "small": Evidence(200, 20, 20_000, 2_000, 100.0),
            "best": Evidence(200, 200, 20_000, 2_000, 100.0),
        }
    }
)
ITEMS = st.builds(
    an_item,
    id=st.uuids().map(str),
    task=st.just("t"),
    job_id=st.sampled_from([None, "job"]),
    prompt_bytes=st.sampled_from([400, 500, 300_000]),
    risk=st.sampled_from([None, "internal"]),
    sensitivity=st.sampled_from([None, "confidential"]),
    latency=st.sampled_from([None, "interactive"]),
    deadline=st.sampled_from([None, 5, 3_600_000_000]),
    max_cost=st.sampled_from([None, 1_000, 10_000_000]),
    floor=st.sampled_from([None, "frontier"]),
    fallback=st.sampled_from([None, {"on_ceiling": "gpu"}]),
    stated=st.sampled_from([None, {}, {"risk": "internal"}]),
    refused_by=st.sampled_from([None, ["gpu"]]),
    min_confidence=st.sampled_from([None, 0.5]),
    lane=st.sampled_from([None, "live"]),
    pinned=st.sampled_from([None, "frontier"]),
    calls=st.sampled_from([0, 1]),
    spent=st.sampled_from([0, 900]),
    priority=st.integers(0, 9),
    submitted_at=st.integers(0, 1_000),
    ready_at=st.integers(0, 1_000),
)


@given(st.lists(ITEMS, min_size=2, max_size=12))
def test_of_many_items_each_is_chosen_for_as_if_it_were_alone(items: list[Item]) -> None:
    together = choose_all(items, PRICED, 10, {}, measured=KNOWN)
    alone = [choose_all([item], PRICED, 10, {}, measured=KNOWN) for item in items]
    assert together.routed == [route for chosen in alone for route in chosen.routed]
    assert together.deaths == [death for chosen in alone for death in chosen.deaths]


def test_of_items_that_are_alike_those_that_go_by_the_bounds_say_so_and_no_others() -> None:
    twins = [an_item(id=f"item{number}", risk="internal", task="t") for number in range(200)]
    routed = choose_all(twins, PRICED, 0, {}, measured=KNOWN).routed
    by_bounds = {route.id for route in routed if "by the bounds" in str(route.route["reasons"])}
    assert by_bounds == {item.id for item in twins if probes(item.id)} != set()
