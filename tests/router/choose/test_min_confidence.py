"""Where an item goes whose answer has to be sure, and who cannot show how sure it is."""

import pytest

from tests.router.specs import FRONTIER, GPU, OPEN, a_spec, an_item, policy_of
from tierqueue.router.choose import Conditions, choose
from tierqueue.router.errors import CostCeilingExceeded
from tierqueue.router.item import Sensitivity
from tierqueue.router.money import NanoUSD
from tierqueue.router.policy.policy import Policy
from tierqueue.router.route import Choice, Route
from tierqueue.router.signals import Signals

HOUSE = a_spec("house", GPU)
SILENT = a_spec("silent", OPEN, boundary="vendor:a", price=("0.1", "0.1"))
TELLING = a_spec("telling", OPEN, boundary="vendor:a", price=("3", "3"), top_logprobs=20)
BEST = a_spec("best", FRONTIER, boundary="vendor:b", price=("9", "9"))


def chosen(policy: Policy, min_confidence: float | None = 0.8, **stated: object) -> Choice:
    item = an_item(min_confidence=min_confidence, **stated)
    return choose(item, Signals(100, 10), policy, Conditions(now=0))


def test_who_cannot_show_a_confidence_is_left_out_below_the_highest_tier() -> None:
    policy = policy_of([SILENT, TELLING, BEST])
    route = chosen(policy)
    assert isinstance(route, Route)
    assert route.deployment == "telling"
    (refusal,) = [refusal for refusal in route.refusals if refusal.deployment == "silent"]
    assert refusal.rule == "confidence"
    assert refusal.why == "it cannot show the confidence of 0.8 that is asked for"


def test_without_a_least_confidence_nobody_is_left_out() -> None:
    route = chosen(policy_of([SILENT, TELLING, BEST]), None)
    assert isinstance(route, Route)
    assert route.deployment == "silent"
    assert "confidence" not in " ".join(route.explain())


def test_the_highest_tier_is_taken_without_and_the_reasons_say_so() -> None:
    for specs in ([SILENT, BEST], [BEST]):
        route = chosen(policy_of(specs))
        assert isinstance(route, Route)
        assert route.deployment == "best"
        assert "it cannot show the confidence of 0.8; no tier above it could" in route.reasons


def test_vllm_in_the_worker_always_shows_it() -> None:
    route = chosen(policy_of([HOUSE, SILENT, BEST]))
    assert isinstance(route, Route)
    assert route.deployment == "house"
    assert "confidence" not in " ".join(route.reasons)


@pytest.mark.parametrize("sensitivity", [Sensitivity.CONFIDENTIAL, Sensitivity.REGULATED])
def test_the_highest_tier_is_that_of_those_who_may_see_the_item(sensitivity: Sensitivity) -> None:
    served = a_spec("served", GPU, boundary="vendor:a")
    policy = policy_of([HOUSE, served, BEST])
    route = chosen(policy, sensitivity=sensitivity)
    assert isinstance(route, Route)
    assert route.deployment == "house"


def test_want_of_money_does_not_bring_it_back_to_who_cannot_show_it() -> None:
    error = chosen(policy_of([SILENT, BEST]), max_cost=NanoUSD(200_000))
    assert isinstance(error, CostCeilingExceeded)


def test_a_server_that_refuses_log_probabilities_is_left_out_and_says_so() -> None:
    policy = policy_of([TELLING, BEST])
    item = an_item(min_confidence=0.8)
    known = Conditions(now=0, silent=frozenset({"telling"}))
    route = choose(item, Signals(100, 10), policy, known)
    assert isinstance(route, Route)
    assert route.deployment == "best"
    (refusal,) = [refusal for refusal in route.refusals if refusal.deployment == "telling"]
    assert refusal.rule == "confidence"
    assert "refuses the log-probabilities" in refusal.why
    without = choose(an_item(), Signals(100, 10), policy, known)
    assert isinstance(without, Route)
    assert without.deployment == "telling"
