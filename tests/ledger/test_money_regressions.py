"""What users of other systems complain of about money, each as a test that it is not so here."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.ledger.moves import LEASE_US, WORKER, Moves, ceiling, settlement
from tests.ledger.priced import PRICED
from tierqueue.ledger.accounting import audit
from tierqueue.ledger.lifecycle import leases, routes, settlements
from tierqueue.ledger.lifecycle.claims import Claim
from tierqueue.ledger.lifecycle.settlements import Settlement
from tierqueue.router import errors
from tierqueue.router.choose import Conditions, choose
from tierqueue.router.errors import Unpriced
from tierqueue.router.item import Demands, Sensitivity, Tier, WorkItem
from tierqueue.router.lifecycle import State
from tierqueue.router.outcome import (
    Accepted,
    Completed,
    Failed,
    Interrupted,
    Outcome,
    Rejected,
    Throttled,
    Unknown,
    Usage,
)
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.policy import Policy, parse_policy
from tierqueue.router.pricing import charge
from tierqueue.router.signals import measure
from tierqueue.tasks import classify, complete
from tierqueue.tasks.answers.form import schema_of
from tierqueue.tasks.settle.decide import settlement as decided
from tierqueue.tasks.settle.lost import lost
from tierqueue.tasks.settle.write import Verdict

ACME = "budget:acme:total:all"
AT = datetime(2026, 11, 20, tzinfo=UTC)
PAID = replace(WORKER, tier="frontier", deployment="best", provider="v", metered=True)


def settled_as(
    claim: Claim,
    deployment: Deployment,
    outcome: Outcome,
    policy: Policy,
    *,
    now: int | None = None,
    stopped: bool = False,
) -> Settlement:
    """What is written where the claim's call ends with this outcome."""
    at = claim.started_at if now is None else now
    verdict = Verdict(condition=None, own=False)
    return decided(claim, deployment, outcome, policy, at, 0.5, verdict=verdict, stopped=stopped)


def done(usage: Usage) -> Accepted:
    completed = Completed(text="yes", usage=usage, model_served="m")
    return Accepted(output={"text": "yes"}, completed=completed, prompt_version="1")


def paid(moves: Moves, count: int = 1, *, bound: int = 100, **stated: Any) -> list[Claim]:
    """``count`` new items, claimed by a worker of the paid deployment."""
    moves.submit(count, **stated)
    moves.route(bound=bound, tier="frontier", deployment="best")
    return moves.claim(moves.queue("frontier"), by=PAID).claimed


def test_a_hold_is_never_shrunk_to_what_is_left(moves: Moves) -> None:
    moves.ceilings(ceiling("budget", 450))
    result = moves.claim(moves.ready(2, bound=300))
    assert (len(result.claimed), result.waiting) == (1, 1)
    assert moves.books() == {ACME: (300, 0, 300)}


def test_claims_at_the_same_moment_do_not_pass_the_limit_together(moves: Moves) -> None:
    moves.ceilings(ceiling("budget", 100), ceiling("provider", 70))
    wanted = list(moves.ready(40, bound=10).items())
    with ThreadPoolExecutor(8) as pool:
        slices = [dict(wanted[start::8]) for start in range(8)]
        results = list(pool.map(moves.claim, slices))
    assert sum(len(result.claimed) for result in results) == 7
    assert moves.books() == {ACME: (70, 0, 70), "provider:house:total:all": (70, 0, 70)}


def test_a_dead_workers_holds_come_back_and_block_nobody(moves: Moves, policy: Policy) -> None:
    moves.ceilings(ceiling("budget", 100_000_000))
    [gone] = moves.running(1, bound=100_000_000)
    waiting = moves.ready(bound=60_000_000)
    assert moves.claim(waiting).waiting == 1
    with moves.ledger.write() as connection:
        now = gone.started_at + LEASE_US + 1
        [found] = leases.lapsed(connection, now, 10)
        house = policy.deployments["small"]
        booked = [lost(found, house, policy, now, 0.5, blamed=True)]
        settlements.settle(connection, settlements.prepare(connection.dialect.name, booked, now))
        routes.wake_due(connection, now)
    # The engine costs a nano-dollar a microsecond, and was held for a lease and one more.
    assert moves.books() == {ACME: (0, LEASE_US + 1, 100_000_000)}
    assert list(waiting) == [claim.item.id for claim in moves.claim(moves.queue()).claimed]


@pytest.mark.parametrize(
    "outcome",
    [
        Throttled(after=1.0),
        Failed(kind="http_503", message="", transient=True),
        Failed(kind="http_400", message="", transient=False),
    ],
    ids=["throttled", "failed", "failed for good"],
)
def test_a_call_that_was_not_billed_gives_its_hold_back(
    moves: Moves, policy: Policy, outcome: Throttled | Failed
) -> None:
    moves.ceilings(ceiling("budget", 100))
    [claim] = paid(moves)
    moves.settle(settled_as(claim, policy.deployments["best"], outcome, policy))
    assert moves.books() == {ACME: (0, 0, 100)}


def test_a_model_without_a_price_is_refused_and_never_free(policy: Policy) -> None:
    text = PRICED.replace('prices = { input = "5", cache_read = "0.5", output = "25" }', "")
    unpriced = parse_policy(text, "test")
    demands = Demands(sensitivity=Sensitivity.PUBLIC, floor=Tier.FRONTIER)
    item = WorkItem(id="i", task="t", demands=demands, prompt_bytes=9, output_limit=9)
    assert isinstance(choose(item, measure(item, {}), unpriced, Conditions(0)), Unpriced)
    with pytest.raises(Unpriced):
        charge(unpriced.deployments["best"], Usage(input_tokens=1), AT)


def test_a_free_call_is_still_in_the_books(moves: Moves) -> None:
    moves.ceilings(ceiling("budget", 100))
    [claim] = moves.running(bound=0)
    moves.settle(settlement(claim, cost=0))
    assert [row.cost for row in moves.history(claim.item.id)] == [0]
    assert moves.books() == {ACME: (0, 0, 0)}


def test_the_items_of_a_batch_hold_like_any_other(moves: Moves) -> None:
    moves.ceilings(ceiling("job", 250, name="job-1"), ceiling("budget", 10_000))
    for index in range(4):
        moves.submit(job_id="job-1", job_index=index)
    moves.route(bound=100)
    assert len(moves.claim(moves.queue()).claimed) == 2
    assert moves.books() == {"job:job-1:total:all": (200, 0, 200), ACME: (200, 0, 200)}


def test_a_bill_above_the_bound_is_booked_whole_marked_and_ends_the_spending(
    moves: Moves, policy: Policy
) -> None:
    moves.ceilings(ceiling("budget", 1_000_000))
    [claim] = paid(moves, bound=400_000)
    usage = Usage(input_tokens=100, output_tokens=40_000)
    moves.settle(settled_as(claim, policy.deployments["best"], done(usage), policy))
    bill = 100 * 5_000 + 40_000 * 25_000
    assert moves.books() == {ACME: (0, bill, bill)}
    [row] = moves.history(claim.item.id)
    assert (row.cost, row.detail) == (bill, {"overage": bill - 400_000})
    with moves.ledger.read() as connection:
        assert audit.report(connection).overage == bill - 400_000
    moves.submit()
    moves.route(bound=1, tier="frontier", deployment="best")
    [ending] = moves.claim(moves.queue("frontier"), by=PAID).ends.ended
    assert ending.error is not None
    assert ending.error["reason"] == "cost_ceiling"
    assert ending.error["fields"]["spent"] == bill


def test_a_bill_within_the_bound_is_not_called_overage(moves: Moves, policy: Policy) -> None:
    [claim] = paid(moves, bound=30_000)
    written = settled_as(claim, policy.deployments["best"], done(Usage(input_tokens=6)), policy)
    assert (written.cost, written.detail) == (30_000, None)


def test_ninety_nine_calls_on_a_limit_of_thirty_spend_thirty(moves: Moves) -> None:
    moves.ceilings(ceiling("budget", 30))
    wanted = list(moves.ready(99, bound=1).items())
    for start in range(0, 99, 11):
        for claim in moves.claim(dict(wanted[start : start + 11])).claimed:
            moves.settle(settlement(claim, cost=1))
    assert moves.books() == {ACME: (0, 30, 30)}


def test_an_exhausted_budget_does_not_stop_a_free_model_of_the_house(moves: Moves) -> None:
    moves.ceilings(ceiling("budget", 100))
    [claim] = moves.running(bound=100)
    moves.settle(settlement(claim, cost=100))
    assert moves.claim(moves.ready(bound=1)).claimed == []
    assert len(moves.claim(moves.ready(bound=0)).claimed) == 1


def test_one_tiers_exhausted_ceiling_does_not_stop_another_tier(moves: Moves) -> None:
    moves.ceilings(ceiling("tier", 50, name="frontier"))
    assert paid(moves) == []
    assert len(moves.running(bound=100)) == 1


def test_an_exhausted_budget_spends_nothing_through_another_paid_deployment(moves: Moves) -> None:
    moves.ceilings(ceiling("budget", 100))
    [claim] = moves.running(bound=100)
    moves.settle(settlement(claim, cost=100))
    [item_id] = moves.submit()
    moves.route(bound=1, tier="frontier", deployment="best")
    [ending] = moves.claim(moves.queue("frontier"), by=PAID).ends.ended
    row = moves.row(item_id)
    assert (ending.item_id, row.state, row.reason) == (item_id, "dead", "cost_ceiling")
    assert (row.tier, row.deployment, row.spent) == ("frontier", "best", 0)
    assert moves.books() == {ACME: (0, 100, 100)}


def test_worst_case_holds_do_not_pin_a_budget_that_is_hardly_spent(moves: Moves) -> None:
    moves.ceilings(ceiling("budget", 190))
    wanted = moves.ready(10, bound=100)
    finished = 0
    while wanted:
        result = moves.claim(wanted)
        assert (len(result.claimed), result.ends.ended) == (1, [])
        for claim in result.claimed:
            finished += len(moves.settle(settlement(claim, cost=10)).ends.ended)
        with moves.ledger.write() as connection:
            routes.wake_due(connection, moves.now() + LEASE_US)
        wanted = moves.queue()
    assert finished == 10
    assert moves.books() == {ACME: (0, 100, 190)}


def test_a_budget_error_is_terminal_and_never_comes_back_by_itself(moves: Moves) -> None:
    moves.ceilings(ceiling("budget", 50))
    [item_id] = wanted = moves.ready(bound=100)
    [ending] = moves.claim(wanted).ends.ended
    with moves.ledger.write() as connection:
        assert routes.wake_due(connection, moves.now() + 1_000 * LEASE_US) == 0
    assert moves.queue() == {}
    assert moves.claim(wanted).stale == 1
    assert (moves.row(item_id).state, moves.row(item_id).calls) == (State.DEAD, 0)
    assert ending.error is not None
    assert ending.error["reason"] == errors.CostCeilingExceeded.reason


def test_without_an_output_limit_one_is_set_and_the_bound_is_not_the_whole_window() -> None:
    free = complete.new_item((), {"prompt": "hello"}, item_id="i")
    label = classify.new_item((), {"text": "hello", "labels": ["a", "b"]}, item_id="j")
    assert (free.output_limit, label.output_limit) == (1024, 64)


def test_the_answers_schema_is_in_the_bound_because_providers_bill_it() -> None:
    few = {"text": "hello", "labels": ["a", "b"]}
    many = {"text": "hello", "labels": [f"a label of some length {at}" for at in range(50)]}
    sizes = []
    for arguments in (few, many):
        new = classify.new_item((), arguments, item_id="i")
        prompt = classify.prompt(new.arguments)
        model = classify.output_model(new.arguments)
        assert model is not None
        schema = schema_of(model)
        sizes.append(new.prompt_bytes - prompt.size)
        assert sizes[-1] >= len(str(schema)) - 50
    assert sizes[1] > sizes[0] + 50 * 20


def test_failed_rejected_and_lost_calls_are_counted(moves: Moves, policy: Policy) -> None:
    moves.ceilings(ceiling("budget", 1_000_000))
    best = policy.deployments["best"]
    usage = Usage(input_tokens=2)
    outcomes: list[tuple[Outcome, int]] = [
        (Failed(kind="check", message="", transient=False, usage=usage), 10_000),
        (Rejected(reasons=("no",), usage=usage, model_served="m"), 10_000),
        (Unknown(kind="timeout", message=""), 50_000),
    ]
    for claim, (outcome, cost) in zip(paid(moves, 3, bound=50_000), outcomes, strict=True):
        moves.settle(settled_as(claim, best, outcome, policy))
        assert [row.cost for row in moves.history(claim.item.id)] == [cost]
    assert moves.books() == {ACME: (0, 70_000, 150_000)}


def test_a_cancelled_call_of_the_house_is_charged_its_engine_time(
    moves: Moves, policy: Policy
) -> None:
    moves.ceilings(ceiling("budget", 60_000_000))
    [claim] = moves.running(bound=60_000_000)
    cut = Interrupted(kind="cancelled", usage=Usage(engine_seconds=2.5))
    written = settled_as(claim, policy.deployments["small"], cut, policy, stopped=True)
    assert [ending.state for ending in moves.settle(written).ends.ended] == ["cancelled"]
    assert moves.books() == {ACME: (0, 2_500_000, 60_000_000)}


@pytest.mark.parametrize(("seconds", "cost"), [(4, 4_000_000), (400, 60_000_000)])
def test_a_lost_call_of_the_house_is_charged_its_engine_time_and_at_most_its_hold(
    moves: Moves, policy: Policy, seconds: int, cost: int
) -> None:
    moves.ceilings(ceiling("budget", 60_000_000))
    [claim] = moves.running(bound=60_000_000)
    later = claim.started_at + seconds * 1_000_000
    small = policy.deployments["small"]
    gone = settled_as(claim, small, Unknown(kind="lost", message=""), policy, now=later)
    assert (gone.cost, gone.next_state) == (cost, State.WAITING)
    moves.settle(gone)
    assert moves.books() == {ACME: (0, cost, 60_000_000)}


def test_the_calls_of_one_request_are_bounded_whatever_failed(moves: Moves, policy: Policy) -> None:
    [claim] = paid(moves)
    failure = Failed(kind="http_503", message="", transient=True)
    calls = 0
    while True:
        calls += 1
        written = settled_as(claim, policy.deployments["best"], failure, policy)
        moves.settle(written)
        if written.next_state is State.DEAD:
            break
        with moves.ledger.write() as connection:
            routes.wake_due(connection, moves.now() + 100 * LEASE_US)
        [claim] = moves.claim(moves.queue("frontier"), by=PAID).claimed
    assert calls == policy.retry.calls == 4
