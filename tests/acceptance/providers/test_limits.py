"""A deployment's limits hold over all workers, as the provider's own log shows."""

import time
from typing import Any

import pytest

from tests.acceptance.acceptance_system import Build, RunningSystem
from tests.waiting import until
from tierqueue.ledger.in_force import stated_limits, tier_concurrency
from tierqueue.ledger.tables import items
from tierqueue.router.item import Tier
from tierqueue.tasks import classify
from tools.system import procfile

LABELS = ["lost card", "refund"]
PER_MINUTE = 60
IN_FLIGHT = 3
LIMITED = """
[deployments.limited]
tier = "frontier"
engine = "openai"
model = "frontier-mini"
base_url = "http://127.0.0.1:{port}/v1"
key_env = "SANDBOX_KEY"
context_window = 100000
boundary = "vendor:limited"
simulated = true
prices = { input = "0.50", cache_read = "0.05", output = "2.00" }
limits = { requests_per_minute = 60, in_flight = 3 }
"""


@pytest.fixture(scope="module")
def running(build_system: Build) -> RunningSystem:
    """Two frontier workers in front of a provider that throttles harder than its limits say."""
    return build_system(
        more=LIMITED,
        lines={"frontier_2": _second_worker(), "sandbox": _strict_sandbox()},
        processes=("sandbox", "routing", "frontier", "frontier_2"),
    )


def _second_worker() -> str:
    return procfile()["frontier"].replace("-n frontier@%h", "-n frontier_2@%h")


def _strict_sandbox() -> str:
    return procfile()["sandbox"] + f" --rpm {PER_MINUTE} --concurrent {IN_FLIGHT} --latency-ms 100"


def _runs(line: dict[str, Any], at: float) -> bool:
    """Whether the provider was at work on this call then."""
    return bool(line["started"] <= at < line["ended"])


def test_two_workers_pass_no_limit_and_every_item_ends(running: RunningSystem) -> None:
    waiting: list[Any] = []

    def both_have_called() -> bool:
        of_all = [attempt.worker for result in waiting for attempt in running.attempts(result.id)]
        return len(set(of_all)) == 2

    while len(waiting) < 20 or not both_have_called():
        more = [classify.delay(f"card {n}", labels=LABELS, floor="frontier") for n in range(20)]
        for result in more:
            assert result.get(timeout=60)["receipt"]["deployment"] == "limited"
        waiting += more
    served = running.served()
    assert not [line for line in served if line["fault"] == "limit"]
    assert max(line["max_in_flight"] for line in served) <= IN_FLIGHT
    starts = sorted(line["started"] for line in served)
    for first, beyond in zip(starts, starts[PER_MINUTE:], strict=False):
        assert beyond - first > 60


def test_what_the_limiter_does_not_grant_leaves_no_trace_in_the_books(
    running: RunningSystem,
) -> None:
    more = range(2 * IN_FLIGHT)
    for result in [classify.delay(f"more {n}", labels=LABELS, floor="frontier") for n in more]:
        result.get(timeout=90)
    with running.ledger.read() as connection:
        rows = connection.execute(items.select()).all()
    assert all(len(running.attempts(row.id)) == 1 for row in rows)
    assert all(row.throttles == 0 for row in rows)


def test_what_an_operator_sets_of_a_limit_is_in_force_within_two_seconds(
    running: RunningSystem,
) -> None:
    with running.ledger.write() as connection:
        stated_limits.set_limits(connection, "limited", {"in_flight": 1}, by="a test")
    in_force = time.time() + 2
    while time.time() < in_force:
        classify.delay("before it is", labels=LABELS, floor="frontier").get(timeout=90)
    before = len(running.served())
    many = [classify.delay(f"one {n}", labels=LABELS, floor="frontier") for n in range(6)]
    for result in many:
        result.get(timeout=90)
    served = running.served()[before:]
    assert max(sum(_runs(other, line["started"]) for other in served) for line in served) == 1
    with running.ledger.write() as connection:
        assert stated_limits.unset(connection, "limited", ["in_flight"], by="a test")


def test_a_tier_s_concurrency_is_in_force_within_two_seconds(running: RunningSystem) -> None:
    with running.ledger.write() as connection:
        tier_concurrency.set_concurrency(connection, Tier.FRONTIER, 0, by="a test")
    try:
        waiting = classify.delay("stopped", labels=LABELS, floor="frontier")
        until(lambda: running.item(waiting.id).state in {"routed", "waiting", "queued"})
    finally:
        with running.ledger.write() as connection:
            tier_concurrency.set_concurrency(connection, Tier.FRONTIER, 2, by="a test")
    in_force = time.time() + 2
    assert waiting.get(timeout=90)
    while time.time() < in_force:
        classify.delay("before it is", labels=LABELS, floor="frontier").get(timeout=90)
    before = len(running.served())
    many = [classify.delay(f"two {n}", labels=LABELS, floor="frontier") for n in range(6)]
    for result in many:
        result.get(timeout=90)
    served = running.served()[before:]
    at_once = [sum(_runs(other, line["started"]) for other in served) for line in served]
    assert 1 <= max(at_once) <= 2
    with running.ledger.write() as connection:
        assert tier_concurrency.unset(connection, Tier.FRONTIER, by="a test")
