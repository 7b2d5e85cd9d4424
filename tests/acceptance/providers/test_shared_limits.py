"""Accounts and budgets have limits over all their deployments, as the provider's own log shows."""

import contextlib
from typing import Any

import pytest
from celery import exceptions

from tests.acceptance.acceptance_system import Build, RunningSystem
from tests.waiting import until
from tierqueue.ledger.in_force import stated_limits
from tierqueue.router.errors import NoRoute
from tierqueue.router.lifecycle import Wait
from tierqueue.tasks import classify, complete

LABELS = ["lost card", "refund"]
DEPLOYMENT = """
[deployments.{name}]
tier = "frontier"
engine = "openai"
model = "frontier-mini"
base_url = "http://127.0.0.1:{{port}}/v1"
key_env = "SANDBOX_KEY"
context_window = 100000
boundary = "vendor:limited"
simulated = true
account = "shared"
tasks = ["tierqueue.{name}"]
prices = {{ input = "0.50", cache_read = "0.05", output = "2.00" }}
"""
LIMITED = (
    (
        DEPLOYMENT.format(name="classify")
        + DEPLOYMENT.format(name="complete")
        + """
[accounts.shared]
in_flight = 2

[budgets.small.limits]
requests_per_minute = 3

[budgets.tiny.limits]
tokens_per_minute = 100
"""
    )
    .replace("{{", "{")
    .replace("}}", "}")
)


@pytest.fixture(scope="module")
def running(build_system: Build) -> RunningSystem:
    """A frontier worker with two deployments of one account."""
    return build_system(more=LIMITED, processes=("sandbox", "routing", "frontier"))


def classified(number: int, **stated: Any) -> Any:
    return classify.delay(f"card {number}", labels=LABELS, floor="frontier", **stated)


def test_two_deployments_of_one_account_share_its_calls_in_flight(running: RunningSystem) -> None:
    waiting: list[Any] = [classified(n) for n in range(8)]
    waiting += [complete.delay(f"say {n}", floor="frontier") for n in range(8)]
    served_by = {result.get(timeout=90)["receipt"]["deployment"] for result in waiting}
    assert served_by == {"classify", "complete"}
    # The account's: what went to another deployment meanwhile does not count towards it.
    served = [line for line in running.served() if line["model"] == "frontier-mini"]
    at_once = [
        sum(other["started"] <= line["started"] < other["ended"] for other in served)
        for line in served
    ]
    assert max(at_once) <= 2


def test_items_of_a_budget_above_its_rate_wait_and_nobody_waits_with_them(
    running: RunningSystem,
) -> None:
    small = [classified(n, budget="small") for n in range(100, 120)]
    done: list[Any] = []

    def three_were_called() -> bool:
        done[:] = [one for one in small if running.attempts(one.id)]
        return len(done) == 3

    until(three_were_called)
    until(lambda: Wait.BUDGET_RATE in {running.item(one.id).reason for one in small})
    for result in [classified(n) for n in range(120, 140)]:
        result.get(timeout=90)
    assert three_were_called()
    with running.ledger.write() as connection:
        stated_limits.set_limits(connection, "budget:small", {"requests_per_minute": 999}, "a test")
    for result in small:
        result.get(timeout=90)


def test_an_item_above_what_its_account_ever_grants_goes_to_a_deployment_of_another(
    running: RunningSystem,
) -> None:
    def served_by() -> Any:
        # Whom a process still keeps to the limits of before waits for a minute: the next is asked.
        with contextlib.suppress(exceptions.TimeoutError):
            found = complete.delay("x" * 500, floor="frontier").get(timeout=5)
            return found["receipt"]["deployment"]

    few = {"tokens_per_minute": 100}
    with running.ledger.write() as connection:
        stated_limits.set_limits(connection, "account:shared", few, "a test")
    try:
        # In force within two seconds.
        until(lambda: served_by() == "best")
    finally:
        with running.ledger.write() as connection:
            stated_limits.unset(connection, "account:shared", list(few), "a test")
    until(lambda: served_by() == "complete")


def test_an_item_above_what_its_budget_ever_grants_dies_loudly(running: RunningSystem) -> None:
    waiting = complete.delay("x" * 500, floor="frontier", budget="tiny")
    with pytest.raises(NoRoute, match="the budget tiny"):
        waiting.get(timeout=90)
