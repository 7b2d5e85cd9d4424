"""After a refused answer: the next tier, once each, or the end."""

from functools import partial
from itertools import permutations

import pytest

from tierqueue.router.escalation import Escalation, after_rejection, onward, rank_after
from tierqueue.router.item import TIERS, Sensitivity, Tier
from tierqueue.router.policy.policy import Policy, parse_policy

GPU, OPEN, FRONTIER = TIERS
_onward = partial(onward, task="classify", sensitivity=Sensitivity.INTERNAL)


def _after(
    refused_by: tuple[Tier, ...], policy: Policy, sensitivity: Sensitivity = Sensitivity.INTERNAL
) -> Tier | None:
    return after_rejection(refused_by, policy, "classify", sensitivity)


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
        assert _after(order, _serving(*TIERS)) is after


def test_a_tier_without_a_deployment_is_passed_over() -> None:
    assert _after((GPU,), _serving(GPU, FRONTIER)) is FRONTIER
    assert _after((GPU,), _serving(GPU)) is None


def test_a_tier_whose_deployments_may_not_do_the_item_is_passed_over() -> None:
    text = """
[deployments.ours]
tier = "gpu"
engine = "vllm"
model = "m"
boundary = "house"
context_window = 100

[deployments.summaries]
tier = "open_weight"
engine = "vllm"
model = "m"
boundary = "house"
context_window = 100
tasks = ["summarize"]

[deployments.vendor]
tier = "frontier"
engine = "openai"
model = "m"
key_env = "KEY"
boundary = "vendor:v"
context_window = 100
prices = { input = "1", output = "2" }
"""
    policy = parse_policy(text, "test")
    assert _after((GPU,), policy) is FRONTIER, "the tier between does another task type"
    assert _after((GPU,), policy, Sensitivity.CONFIDENTIAL) is None, "it may not leave the house"


def test_every_escalation_ends_and_asks_each_tier_once() -> None:
    policy = _serving(*TIERS)
    asked: tuple[Tier, ...] = ()
    while (tier := _after(asked, policy)) is not None:
        asked += (tier,)
    assert asked == TIERS
    assert rank_after(asked) == len(TIERS)


def _two_open(window: int = 100) -> Policy:
    one = """
[deployments.{name}]
tier = "open_weight"
engine = "openai"
model = "m"
key_env = "KEY"
boundary = "vendor:v"
context_window = {window}
prices = {{ input = "1", output = "2" }}
"""
    text = one.format(name="first", window=100) + one.format(name="second", window=window)
    return parse_policy(text, "test")


@pytest.mark.parametrize(
    ("reason", "window", "beside"),
    [
        ("context_window", 100, False),
        ("context_window", 99, False),
        ("context_window", 101, True),
        ("too_large", 99, True),
        ("rejected", 101, False),
    ],
)
def test_only_what_was_too_large_goes_to_another_of_the_tier(
    reason: str, window: int, beside: bool
) -> None:
    policy = _two_open(window)
    first = policy.deployments["first"]
    step = _onward(first, reason, (), {}, policy, may_climb=True)
    assert step == (Escalation(reason, {"first": reason}) if beside else None)


def test_where_a_routing_stage_asks_the_same_one_again_it_goes_up_the_tiers() -> None:
    policy = _two_open(101)
    first = policy.deployments["first"]
    assert _onward(first, "too_large", (), {"first": "too_large"}, policy, may_climb=True) is None
    gone = {"gone from the policy": "too_large"}
    step = _onward(first, "too_large", (), gone, policy, may_climb=False)
    assert step == Escalation("too_large", {**gone, "first": "too_large"})
