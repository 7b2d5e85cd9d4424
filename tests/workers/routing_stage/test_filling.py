"""What goes on next: the urgent first, the others in fair shares, what is held back not at all."""

import pytest
from sqlalchemy import Connection

from tests.ledger.placed import place
from tierqueue.ledger.in_force import pauses
from tierqueue.ledger.in_force.pauses import Pause
from tierqueue.ledger.lifecycle import flows
from tierqueue.ledger.lifecycle.flows import name_of
from tierqueue.ledger.monitoring import outset
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.router.policy.policy import Policy, parse_policy
from tierqueue.tasks.broker.slices import Slice
from tierqueue.workers.routing_stage import used_up_rates
from tierqueue.workers.routing_stage.filling import Fill
from tierqueue.workers.routing_stage.used_up_rates import FEWEST

POLICY = """
allow_simulated = true

[deployments.house]
tier = "gpu"
engine = "vllm"
model = "m"
boundary = "house"
context_window = 1000
gpu_hour = "1"
simulated = true

[tiers.gpu]
concurrency = 4
slice = 4

[budgets.large]
weight = {weight}
"""


def policy(weight: float = 1.0) -> Policy:
    return parse_policy(POLICY.format(weight=weight), "test")


def put(ledger: Ledger, state: str, budget: str, count: int, *, urgent: bool = False) -> list[str]:
    """Items of a budget, each due behind the one before it."""
    task = "tierqueue.complete"
    deployment = None if state == "submitted" else "house"
    flow = name_of(urgent=urgent, budget=budget, job_id=None, task=task, deployment=deployment)
    return [
        place(ledger, state, budget=budget, flow=flow, due=number, deployment=deployment)
        for number in range(count)
    ]


def filled(ledger: Ledger, fill: Fill, held: tuple[str, ...] = ()) -> list[Slice]:
    with ledger.write() as connection:
        paused: list[Pause] = pauses.in_force(connection)
        begun = outset.read(connection)
        slices, *_ = fill.tiers(connection, begun, paused, held, suspected=False)
        return [slice_ for _, slice_ in slices]


def sent(slices: list[Slice]) -> list[str]:
    return [item_id for slice_ in slices for item_id in slice_.items]


def test_what_somebody_waits_for_is_sent_although_the_queue_is_full(ledger: Ledger) -> None:
    fill = Fill(policy(), 1)
    put(ledger, "routed", "large", 40)
    assert len(sent(filled(ledger, fill))) == 20
    assert filled(ledger, fill) == []
    urgent = put(ledger, "routed", "small", 2, urgent=True)
    (first, *_) = filled(ledger, fill)
    assert first.urgent
    assert list(first.items) == urgent


def test_a_flood_of_what_somebody_waits_for_leaves_one_place_in_four(ledger: Ledger) -> None:
    usual = put(ledger, "queued", "small", 20) and put(ledger, "routed", "small", 10)
    put(ledger, "routed", "large", 100, urgent=True)
    now = sent(filled(ledger, Fill(policy(), 1)))
    assert len(now) == 21
    assert now[-5:] == usual[:5]


def test_what_is_submitted_is_routed_in_shares_of_weight_the_urgent_first(ledger: Ledger) -> None:
    large = put(ledger, "submitted", "large", 40)
    small = put(ledger, "submitted", "small", 5)
    urgent = put(ledger, "submitted", "large", 2, urgent=True)
    with ledger.write() as connection:
        found = Fill(policy(3.0), 1).submitted(connection, 10, lock=True)
    ids = [item.id for item in found]
    assert ids[:2] == urgent
    assert sorted(ids[2:]) == sorted([*large[:6], *small[:2]])


def test_few_items_go_on_without_a_question_of_whose_they_are(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    with_work = flows.with_work

    def noted(connection: Connection, tier: str | None, since: str = "") -> list[flows.Flow]:
        asked.append(tier)
        return with_work(connection, tier, since)

    monkeypatch.setattr(flows, "with_work", noted)
    fill = Fill(policy(), 1)
    few = put(ledger, "submitted", "small", flows.FEW)
    with ledger.write() as connection:
        assert [item.id for item in fill.submitted(connection, 512, lock=True)] == few
    assert asked == []
    put(ledger, "submitted", "small", 1)
    with ledger.write() as connection:
        assert len(fill.submitted(connection, 512, lock=True)) == flows.FEW + 1
    assert asked == [None]


def test_a_paused_budget_is_passed_over_whatever_stands_in_front(ledger: Ledger) -> None:
    put(ledger, "routed", "large", 40)
    small = put(ledger, "routed", "small", 3)
    with ledger.write() as connection:
        pauses.pause(connection, "budget", "large", "ada")
    assert sent(filled(ledger, Fill(policy(), 1))) == small


def test_items_of_a_deployment_that_is_held_back_stay(ledger: Ledger) -> None:
    put(ledger, "routed", "large", 4)
    assert filled(ledger, Fill(policy(), 1), held=("house",)) == []


def waits(ledger: Ledger, count: int, reason: str, seconds: float = 30) -> None:
    with ledger.read() as connection:
        at = database_now(connection) + round(seconds * 1_000_000)
    for _ in range(count):
        place(ledger, "waiting", deployment="house", reason=reason, ready_at=at)


@pytest.mark.parametrize("reason", ["requests_per_minute", "account_rate", "rate_forgotten"])
def test_of_a_deployment_whose_rate_is_used_up_a_slice_goes_around_and_the_rest_stays(
    ledger: Ledger, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill = Fill(policy(), 1)
    waits(ledger, 10, reason)
    large, small = put(ledger, "routed", "large", 40), put(ledger, "routed", "small", 40)
    few = FEWEST - 10
    assert len(found := sent(filled(ledger, fill))) == few
    assert set(found) <= {*large[:few], *small[:few]}
    assert filled(ledger, fill) == []
    # A worker that is lost with those it was sent does not hold up the others.
    monkeypatch.setattr(used_up_rates, "LATELY_US", 0)
    assert len(sent(filled(ledger, fill))) == few


def test_others_are_sent_beside_a_deployment_whose_rate_is_used_up(ledger: Ledger) -> None:
    waits(ledger, FEWEST, "tokens_per_minute")
    put(ledger, "routed", "large", 40)
    flow = name_of(urgent=False, budget="b", job_id=None, task="t", deployment="other")
    others = [place(ledger, "routed", deployment="other", flow=flow, due=n) for n in range(30)]
    assert sent(filled(ledger, Fill(policy(), 1))) == others[:20]
    urgent = put(ledger, "routed", "small", 1, urgent=True)
    assert sent(filled(ledger, Fill(policy(), 1))) == urgent


def test_who_waits_for_something_else_holds_nobody_back(ledger: Ledger) -> None:
    waits(ledger, 30, "lost_claim")
    put(ledger, "routed", "large", 40)
    assert len(sent(filled(ledger, Fill(policy(), 1)))) == 20


def test_what_an_older_process_wrote_goes_on_without_what_is_paused(ledger: Ledger) -> None:
    place(ledger, "routed", budget="large")
    free = place(ledger, "routed", budget="small")
    with ledger.write() as connection:
        pauses.pause(connection, "budget", "large", "ada")
    assert sent(filled(ledger, Fill(policy(), 1))) == [free]


def test_of_very_many_flows_others_have_their_turn_in_each_look(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flows, "MOST", 2)
    budgets = [f"budget{number}" for number in range(7)]
    placed = [item for budget in budgets for item in put(ledger, "routed", budget, 1)]
    fill, seen = Fill(policy(), 1), set[str]()
    for _ in budgets:
        seen.update(sent(filled(ledger, fill)))
    assert seen == set(placed)
