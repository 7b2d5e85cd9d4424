"""The limits that operators set, as a worker reads them."""

import pytest

from tierqueue.router.errors import SpendingRefused
from tierqueue.router.policy.policy import parse_policy
from tierqueue.workers.limits.bounds import bounds_of
from tierqueue.workers.limits.operator_limits import StatedLimits
from tierqueue.workers.limits.rates import OperatorLimits, of_budget

POLICY = parse_policy(
    """
[deployments.best]
tier = "frontier"
engine = "openai"
model = "m"
key_env = "K"
boundary = "vendor:best"
context_window = 1000
prices = { input = "1", output = "1" }
limits = { requests_per_minute = 50, tokens_per_minute = 100000 }

[budgets.acme.limits]
in_flight = 4
""",
    "test",
)
BEST = POLICY.deployments["best"]


def test_they_are_asked_for_once_a_second() -> None:
    clock, asked = [0.0], []

    def read() -> OperatorLimits:
        asked.append(clock[0])
        return OperatorLimits({"best": {"in_flight": len(asked)}})

    limits = StatedLimits(read, lambda: clock[0])
    for now in (0.0, 0.9, 1.0, 1.9, 2.1):
        clock[0] = now
        limits.now()
    assert asked == [0.0, 1.0, 2.1]
    assert limits.now().limits == {"best": {"in_flight": 3}}


def test_without_an_answer_nothing_is_spent() -> None:
    def read() -> OperatorLimits:
        raise OSError

    with pytest.raises(SpendingRefused, match="OSError"):
        StatedLimits(read).now()


def test_what_is_set_takes_the_place_of_what_the_policy_states() -> None:
    bounds = bounds_of(BEST, 4, {"tokens_per_minute": 3000, "in_flight": 2})
    assert (bounds.requests_per_minute, bounds.tokens_per_minute) == (50, 3000)
    assert (bounds.in_flight, bounds.token_burst) == (2, 1000)
    assert bounds_of(BEST, 4, {}) == bounds_of(BEST, 4)


def test_what_the_policy_limits_too_was_always_counted() -> None:
    budgets = ("acme", "other")
    keys = [f"budget:{name}" for name in budgets]
    chosen = OperatorLimits({key: {"in_flight": 2} for key in keys}, dict.fromkeys(keys, 7))
    found = [of_budget(POLICY, BEST, name, chosen) for name in budgets]
    assert [(one.in_flight, one.since) for (one,) in found] == [(2, 0), (2, 7)]
