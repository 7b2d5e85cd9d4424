"""Deployments that cannot serve, in the routing stage: who waits, who takes over, who is tried."""

from typing import Any
from unittest.mock import Mock

import pytest

import tierqueue.tasks  # noqa: F401 - declares the task types
from tests.ledger.placed import column, place
from tierqueue.ledger.in_force import conditions
from tierqueue.ledger.lifecycle import routes
from tierqueue.ledger.monitoring import outset
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.router.condition import Condition, Fault, ServedCall
from tierqueue.router.item import Tier
from tierqueue.router.outcome import Trouble
from tierqueue.router.policy.policy import Policy, parse_policy
from tierqueue.tasks.broker.slices import Slice
from tierqueue.tasks.results.delivery import Delivery
from tierqueue.tasks.routing.failover import BORROWED
from tierqueue.workers.routing_stage.stage import RoutingStage

SECOND = 1_000_000
TEXT = """
default_sensitivity = "internal"
[deployments.house]
tier = "gpu"
engine = "vllm"
model = "m"
boundary = "house"
context_window = 8000
gpu_hour = "1"
[deployments.cheap]
tier = "open_weight"
engine = "openai"
model = "cheap"
boundary = "vendor:a"
key_env = "A_KEY"
context_window = 8000
prices = { input = "1", output = "1" }
[deployments.other]
tier = "open_weight"
engine = "openai"
model = "other"
boundary = "vendor:b"
key_env = "B_KEY"
context_window = 8000
prices = { input = "5", output = "5" }
[deployments.small]
tier = "open_weight"
engine = "openai"
model = "small"
boundary = "vendor:d"
key_env = "D_KEY"
context_window = 4000
prices = { input = "6", output = "6" }
[deployments.best]
tier = "frontier"
engine = "anthropic"
model = "best"
boundary = "vendor:c"
key_env = "C_KEY"
context_window = 8000
prices = { input = "9", output = "9" }
"""


@pytest.fixture(scope="module")
def policy() -> Policy:
    return parse_policy(TEXT, "test")


class Stage:
    """A routing stage whose slices are kept; each round is one tick."""

    def __init__(self, ledger: Ledger, policy: Policy) -> None:
        self.sent: list[tuple[Tier, Slice]] = []
        self._ledger = ledger
        self.stage = RoutingStage(
            ledger=ledger,
            policy=policy,
            send=lambda tier, work: self.sent.append((tier, work)),
            delivery=Mock(spec=Delivery),
            received=lambda _: None,
            resend_seconds=60.0,
            checkpoint=lambda _: None,
        )
        self.stage.start()

    def tick(self) -> list[str]:
        """Look as after a tick, and once more as it does then; the ids that were sent."""
        self.sent.clear()
        self.stage._ticked = True
        self.stage.round()
        self.stage.round()
        return [item for _, work in self.sent for item in work.items]


@pytest.fixture
def stage(ledger: Ledger, policy: Policy) -> Stage:
    return Stage(ledger, policy)


def submitted(ledger: Ledger, floor: str = "open_weight", **columns: Any) -> str:
    nowhere = dict.fromkeys(("tier", "deployment", "budget", "bound", "token_bound"))
    return place(ledger, "submitted", **nowhere, floor=floor, **columns)


def breaks(
    ledger: Ledger, deployment: str, code: Trouble = "quota", wait: float | None = 60.0
) -> None:
    """It is held back from now on; ``wait``: for so many seconds at the least."""
    with ledger.write() as connection:
        at = database_now(connection)
        fault = Fault(item="x", begun=at, at=at, code=code, detail="HTTP 402", after=wait)
        conditions.note(connection, {deployment: [fault]})


def serves(ledger: Ledger, deployment: str) -> None:
    """Somebody is served who was tried once that might be."""
    with ledger.write() as connection:
        condition = conditions.by_deployment(connection)[deployment]
        at = max(database_now(connection), condition.until or 0)
        conditions.note(connection, {deployment: [ServedCall(item="x", begun=at, at=at + 1)]})


def known(ledger: Ledger, deployment: str) -> Condition:
    with ledger.read() as connection:
        return conditions.by_deployment(connection)[deployment]


def routed_to(ledger: Ledger, item: str) -> tuple[str, str, str | None]:
    return tuple(column(ledger, item, name) for name in ("state", "deployment", "reason"))


def test_another_of_the_tier_takes_what_comes_and_what_was_routed(
    ledger: Ledger, stage: Stage
) -> None:
    routed = submitted(ledger)
    assert stage.tick() == [routed]
    with ledger.write() as connection:
        routes.give_back(connection, {routed: 0}, None, None)
    breaks(ledger, "cheap")
    new = submitted(ledger)
    assert sorted(stage.tick()) == sorted([routed, new])
    for item in (routed, new):
        assert routed_to(ledger, item) == ("queued", "other", None)
        route = column(ledger, item, "route")
        assert route["stands_in_for"] == "cheap"
        assert "in place of cheap" in route["reasons"][0]


def test_what_waits_for_it_is_routed_anew_too(ledger: Ledger, stage: Stage) -> None:
    breaks(ledger, "cheap")
    waits = place(
        ledger,
        "waiting",
        tier="open_weight",
        deployment="cheap",
        reason="quota",
        floor="open_weight",
        ready_at=2**60,
    )
    assert stage.tick() == [waits]
    assert routed_to(ledger, waits) == ("queued", "other", None)


def test_where_nobody_can_take_over_items_wait_where_they_are_and_are_not_sent(
    ledger: Ledger, stage: Stage
) -> None:
    breaks(ledger, "best", "unauthorized")
    item = submitted(ledger, floor="frontier")
    for _ in range(3):
        assert stage.tick() == []
        assert routed_to(ledger, item) == ("routed", "best", "unauthorized")
    assert column(ledger, item, "route")["waits_for"] == "unauthorized (HTTP 402)"
    serves(ledger, "best")
    assert stage.tick() == [item]
    assert routed_to(ledger, item) == ("queued", "best", None)


def test_where_all_of_a_tier_are_away_items_go_to_the_first_that_serves_again(
    ledger: Ledger, stage: Stage
) -> None:
    breaks(ledger, "cheap")
    breaks(ledger, "small")
    breaks(ledger, "other", "outage")
    item = submitted(ledger)
    assert stage.tick() == []
    assert routed_to(ledger, item)[1:] == ("cheap", "quota")
    serves(ledger, "other")
    stage.tick()
    assert routed_to(ledger, item)[:2] == ("queued", "other")


def test_where_all_of_a_tier_are_away_each_is_tried_although_all_items_wait_for_one(
    ledger: Ledger, stage: Stage
) -> None:
    items = [submitted(ledger) for _ in range(2)]
    breaks(ledger, "cheap", "unauthorized")
    breaks(ledger, "small")
    breaks(ledger, "other", "outage")
    assert stage.tick() == []
    assert {routed_to(ledger, item)[1] for item in items} == {"cheap"}
    may_be_tried(ledger, "other")
    [tried] = stage.tick()
    assert tried in items
    assert routed_to(ledger, tried)[:2] == ("queued", "other")
    assert known(ledger, "other").probe == tried
    [waits] = set(items) - {tried}
    assert routed_to(ledger, waits) == ("routed", "cheap", "unauthorized")


def test_an_item_that_another_may_not_call_is_not_tried_there_and_the_next_one_is(
    ledger: Ledger, stage: Stage
) -> None:
    first = [submitted(ledger, prompt_bytes=6_000, output_limit=999) for _ in range(BORROWED)]
    last = submitted(ledger)
    breaks(ledger, "cheap")
    breaks(ledger, "small", "outage")
    breaks(ledger, "other")
    assert stage.tick() == []
    assert {routed_to(ledger, item)[1] for item in [*first, last]} == {"cheap"}
    may_be_tried(ledger, "small")
    sent = [item for _ in range(4) for item in stage.tick()]
    assert sent == [last]


def test_a_routing_stage_that_starts_finds_what_waits_although_another_serves(
    ledger: Ledger, policy: Policy
) -> None:
    breaks(ledger, "cheap")
    waits = place(
        ledger,
        "routed",
        tier="open_weight",
        deployment="cheap",
        reason="quota",
        floor="open_weight",
    )
    assert Stage(ledger, policy).tick() == [waits]
    assert routed_to(ledger, waits)[:2] == ("queued", "other")


def may_be_tried(ledger: Ledger, deployment: str) -> None:
    """It has been held back for long enough."""
    with ledger.write() as connection:
        earlier = ", ".join(f"{it} = {it} - 1000000000" for it in ("since", "faulted_at", "until"))
        where = f"deployment = '{deployment}'"
        connection.exec_driver_sql(f"UPDATE conditions SET {earlier} WHERE {where}")


def test_a_fallback_is_taken_only_where_somebody_allowed_it_and_only_on_an_outage(
    ledger: Ledger, stage: Stage
) -> None:
    waits = submitted(ledger, floor="frontier")
    breaks(ledger, "house", "outage")
    allowed = submitted(ledger, floor="gpu", fallback={"on_outage": "open_weight"})
    throttled = submitted(ledger, floor="gpu", fallback={"on_throttle": "open_weight"})
    stage.tick()
    assert routed_to(ledger, allowed)[:2] == ("queued", "cheap")
    assert column(ledger, allowed, "degraded") == {
        "to": "open_weight",
        "from": "house",
        "on": "outage",
    }
    assert routed_to(ledger, throttled) == ("routed", "house", "outage")
    assert routed_to(ledger, waits)[:2] == ("queued", "best")


def test_one_item_at_a_time_is_tried_alone_and_another_each_time(
    ledger: Ledger, stage: Stage
) -> None:
    items = [submitted(ledger, floor="frontier") for _ in range(3)]
    breaks(ledger, "best", "outage", wait=0.0)
    tried: list[str] = []
    for _ in range(3):
        [item] = stage.tick()
        assert known(ledger, "best").probe == item
        assert [list(work.items) for _, work in stage.sent] == [[item]]
        assert stage.tick() == []
        tried.append(item)
        turned_away(ledger, item)
    assert sorted(tried) == sorted(items)


def turned_away(ledger: Ledger, item: str) -> None:
    """Its trial failed, and it is routed again."""
    with ledger.write() as connection:
        at = database_now(connection)
        fault = Fault(item=item, begun=at, at=at, code="outage", detail="HTTP 503", after=0.0)
        conditions.note(connection, {"best": [fault]})
        connection.exec_driver_sql(
            f"UPDATE items SET state = 'submitted', throttles = throttles + 1 WHERE id = '{item}'"
        )


def test_where_nothing_waits_for_it_the_next_item_tries_it_and_no_second(
    ledger: Ledger, stage: Stage
) -> None:
    breaks(ledger, "cheap", wait=0.0)
    first, second = submitted(ledger), submitted(ledger)
    stage.tick()
    deployments = {routed_to(ledger, first)[1], routed_to(ledger, second)[1]}
    assert deployments == {"cheap", "other"}
    assert known(ledger, "cheap").probe in (first, second)


def test_a_trial_whose_item_was_given_back_makes_way_for_another(
    ledger: Ledger, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = ledger.now() + SECOND
    read = outset.read
    monkeypatch.setattr(outset, "read", lambda database: read(database)._replace(now=at))
    item = submitted(ledger, floor="frontier")
    breaks(ledger, "best", "outage", wait=0.0)
    assert stage.tick() == [item]
    with ledger.write() as connection:
        routes.give_back(connection, {item: 0}, None, None)
    assert stage.tick() == []
    condition = known(ledger, "best")
    assert condition.probe is None
    assert condition.wait(at) == 1


def test_a_stated_wait_keeps_items_in_the_ledger_and_nobody_takes_over(
    ledger: Ledger, stage: Stage
) -> None:
    breaks(ledger, "cheap", "throttled", wait=60.0)
    item = submitted(ledger)
    assert stage.tick() == []
    assert routed_to(ledger, item)[:2] == ("routed", "cheap")


def test_throttling_that_lasts_is_taken_over_as_an_outage_is_and_tried_by_one(
    ledger: Ledger, stage: Stage
) -> None:
    routed = submitted(ledger)
    stage.tick()
    with ledger.write() as connection:
        again_at = database_now(connection) + 500 * SECOND
        routes.give_back(connection, {routed: 0}, again_at, "throttled")
    breaks(ledger, "cheap", "throttled", wait=90.0)
    assert stage.tick() == [routed]
    assert routed_to(ledger, routed)[:2] == ("queued", "other")
    may_be_tried(ledger, "cheap")
    new = submitted(ledger)
    assert stage.tick() == [new]
    assert known(ledger, "cheap").probe == new
    serves(ledger, "cheap")
    last = submitted(ledger)
    assert stage.tick() == [last]
    assert routed_to(ledger, last)[:2] == ("queued", "cheap")


def test_throttling_that_lasts_is_no_outage_that_an_item_falls_on(
    ledger: Ledger, stage: Stage
) -> None:
    breaks(ledger, "best", "throttled", wait=90.0)
    item = submitted(ledger, floor="open_weight", fallback={"on_outage": "open_weight"})
    waits = submitted(ledger, floor="frontier", fallback={"on_outage": "gpu"})
    stage.tick()
    assert routed_to(ledger, item)[:2] == ("queued", "cheap")
    for _ in range(2):
        assert routed_to(ledger, waits) == ("routed", "best", "throttled")
        stage.tick()
