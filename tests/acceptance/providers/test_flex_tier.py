"""The flex tier through real processes: half the price, and live in time where it has no place."""

from typing import Any

import pytest

from tests.acceptance.acceptance_system import POLICY, Build, RunningSystem
from tests.waiting import until
from tierqueue.router.policy.lanes import PROMOTED_US
from tierqueue.tasks import complete

pytestmark = pytest.mark.processes

MORE = """
[deployments.mini]
tier = "frontier"
engine = "openai"
model = "frontier-mini"
base_url = "http://127.0.0.1:{port}/v1"
key_env = "SANDBOX_KEY"
context_window = 32768
boundary = "vendor:minis"
simulated = true
timeout = 20
prices = { input = "0.50", cache_read = "0.05", output = "2.00" }
[deployments.mini.flex]
prices = { input = "0.25", cache_read = "0.025", output = "1.00" }
timeout = 20
"""
LEAST = PROMOTED_US / 1_000_000 + 20
"""Seconds that an item must have left to be asked by the flex tier."""


@pytest.fixture(scope="module")
def running(build_system: Build) -> RunningSystem:
    text = POLICY.replace("{more}", MORE)
    return build_system(policy_text=text, processes=("sandbox", "routing", "frontier"))


def ended(running: RunningSystem, prompt: str, seconds: float, **demands: Any) -> Any:
    """The item of one call with so much time, once it has succeeded."""
    asked = {"floor": "frontier", "deadline": seconds, **demands}
    item_id = complete.delay(prompt, max_output_tokens=50, **asked).id
    until(lambda: running.item(item_id).ended_at is not None)
    item = running.item(item_id)
    assert item.state == "succeeded", item.error
    return item


def billed(running: RunningSystem, item_id: str) -> list[tuple[int, str | None, int]]:
    """Status, service tier and cost of each of its calls, as the provider's own log says."""
    lines = [line for line in running.served() if line["item"] == item_id]
    return [(line["status"], line["service_tier"], line["cost_nanousd"]) for line in lines]


def test_what_has_time_is_served_at_half_the_price_and_the_receipt_says_so(
    running: RunningSystem,
) -> None:
    slow = ended(running, "Tell me of the sea.", 24 * 3_600)
    soon = ended(running, "Tell me of the sea.", 60)
    assert slow.receipt["service_tier"] == "flex"
    assert any("flex tier" in reason for reason in slow.receipt["why"])
    [(status, tier, cost)] = billed(running, slow.id)
    assert (status, tier, cost) == (200, "flex", slow.spent)
    [(_, live, full)] = billed(running, soon.id)
    assert (live, full) == ("default", soon.spent)
    assert soon.spent in (2 * slow.spent, 2 * slow.spent - 1)
    assert slow.bound < soon.bound


def test_what_the_tier_has_no_capacity_for_goes_live_in_time_and_is_paid_once(
    running: RunningSystem,
) -> None:
    item = ended(running, "Tell me. [[sandbox:flex_full]]", LEAST + 5)
    calls = billed(running, item.id)
    assert [status for status, _, _ in calls[:-1]] == [429] * (len(calls) - 1)
    assert len(calls) > 1
    assert calls[-1][:2] == (200, "default")
    assert sum(cost for _, _, cost in calls) == item.spent
    assert item.calls == 1


def test_a_reply_billed_by_another_tier_is_booked_at_what_it_says(running: RunningSystem) -> None:
    item = ended(running, "Tell me. [[sandbox:not_flex]]", 24 * 3_600)
    assert item.receipt["service_tier"] == "default"
    assert billed(running, item.id) == [(200, "default", item.spent)]
    [attempt] = running.attempts(item.id)
    assert attempt.detail["billed_as"] == "default"
