"""After a refused answer: the next tier, once each, or the end."""

from itertools import permutations

import pytest

from tierqueue.router.escalation import after_rejection, rank_after
from tierqueue.router.item import TIERS, Tier
from tierqueue.router.policy.policy import Policy, parse_policy

GPU, OPEN, FRONTIER = TIERS


def _serving(*tiers: Tier) -> Policy:
    table = 'engine = "vllm"\nmodel = "m"\nboundary = "house"\ncontext_window = 10\n'
    text = "".join(f'[deployments.{tier}]\ntier = "{tier}"\n{table}' for tier in tiers)
    return parse_policy(text, "test")


@pytest.mark.parametrize(
    ("refused_by", "after"),
    [((), GPU), ((GPU,), OPEN), ((OPEN,), FRONTIER), ((GPU, OPEN), FRONTIER), ((FRONTIER,), None)],
)
def test_the_next_tier_is_the_one_above_the_highest_that_was_refused(
    refused_by: tuple[Tier, ...], after: Tier | None
) -> None:
    for order in permutations(refused_by):
        assert after_rejection(order, _serving(*TIERS)) is after


def test_a_tier_without_a_deployment_is_passed_over() -> None:
    assert after_rejection((GPU,), _serving(GPU, FRONTIER)) is FRONTIER
    assert after_rejection((GPU,), _serving(GPU)) is None


def test_every_road_of_escalation_ends_and_asks_each_tier_once() -> None:
    policy = _serving(*TIERS)
    asked: tuple[Tier, ...] = ()
    while (tier := after_rejection(asked, policy)) is not None:
        asked += (tier,)
    assert asked == TIERS
    assert rank_after(asked) == len(TIERS)
