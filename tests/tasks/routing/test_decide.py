"""The routing stage resolves what an item demands before anything is chosen."""

from typing import Any

import pytest

from tests.ledger.claimed import an_item
from tierqueue.router.item import Sensitivity, Tier
from tierqueue.router.policy.policy import parse_policy
from tierqueue.tasks.routing.decide import work_item_of

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
