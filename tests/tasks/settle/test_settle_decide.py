"""The one match over outcomes: what is charged, and where the item goes."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ledger.claimed import a_claim, an_attempt, an_item
from tierqueue.ledger.lifecycle.claims import Claim
from tierqueue.ledger.lifecycle.leases import LapsedLease
from tierqueue.ledger.lifecycle.settlements import Settlement
from tierqueue.router.condition import Condition
from tierqueue.router.lifecycle import State
from tierqueue.router.outcome import (
    ENGINE_TIME,
    LOST_ON_THE_WAY,
    Accepted,
    Completed,
    Failed,
    Interrupted,
    Outcome,
    Rejected,
    Throttled,
    Unavailable,
    Unknown,
    Usage,
)
from tierqueue.router.policy.policy import Policy, parse_policy
from tierqueue.tasks.settle.decide import settlement
from tierqueue.tasks.settle.lost import lost
from tierqueue.tasks.settle.write import Verdict

DEPLOYMENTS = """
[deployments.house]
tier = "gpu"
engine = "vllm"
model = "m"
boundary = "house"
context_window = 1000
gpu_hour = "3.6"
[deployments.open]
tier = "open_weight"
engine = "openai"
model = "m"
key_env = "KEY"
boundary = "vendor:v"
context_window = 1000
prices = { input = "1", output = "2" }
"""
POLICY = parse_policy(DEPLOYMENTS + "[retry]\ncalls = 3\npoison = 2\n", "test")
USAGE = Usage(input_tokens=100, output_tokens=10)
SECOND = 1_000_000
HELD = 5_000_000
GPU_SECOND = 1_000_000
"""Nano-dollars: 3.60 dollars an hour is a thousandth of a dollar a second."""


@dataclass(frozen=True, kw_only=True)
class At:
    """A claimed call two seconds after its claim, and what is known of its deployment."""

    claim: Claim
    deployment: str
    cancelled: bool = False
    condition: Condition | None = None
    own: bool = False


def at(deployment: str, *, cancelled: bool = False, **stated: Any) -> At:
    """A call on this deployment, of an item that is as ``stated``."""
    item = an_item(**{"sensitivity": "public", **stated})
    claim = a_claim(item, held=HELD, started_at=10 * SECOND)
    return At(claim=claim, deployment=deployment, cancelled=cancelled)


def settled(call: At, outcome: Outcome, policy: Policy = POLICY) -> Settlement:
    """What is written where the call ends with this outcome."""
    return settlement(
        call.claim,
        policy.deployments[call.deployment],
        outcome,
        policy,
        now=12 * SECOND,
        draw=0.5,
        verdict=Verdict(condition=call.condition, own=call.own),
        stopped=call.cancelled,
    )


def accepted(output: dict[str, Any], completed: Completed) -> Accepted:
    return Accepted(output=output, completed=completed, prompt_version="1")


def silent(
    deployment: str | None, *, blamed: bool = True, metered: bool = False, **stated: Any
) -> Settlement:
    """What is written of a claim that a worker went silent with, two seconds after it."""
    opened = {"held": HELD, "started_at": 10 * SECOND, "fence": 3, "metered": metered}
    attempt = an_attempt(**{**opened, "deployment": deployment or "gone"})
    there = None if deployment is None else POLICY.deployments[deployment]
    found = LapsedLease(an_item(**stated), attempt)
    return lost(found, there, POLICY, 12 * SECOND, 0.5, blamed=blamed)


def done(usage: Usage = USAGE) -> Completed:
    return Completed(text="{}", usage=usage, model_served="m-1", seconds=0.5)


def test_an_accepted_answer_is_charged_to_the_provider_s_own_usage() -> None:
    made = settled(at("open", spent=7), accepted({"a": 1}, done()))
    assert made.next_state is State.SUCCEEDED
    assert made.cost == 100 * 1000 + 10 * 2000
    assert made.receipt is not None
    assert made.receipt["cost_nanousd"] == 7 + made.cost
    assert made.receipt["model_served"] == "m-1"
    assert made.calls_more == 1


def test_a_call_that_took_more_of_an_engine_than_is_held_is_made_again_until_none_is_left() -> None:
    taken = Interrupted(kind=ENGINE_TIME, usage=Usage(engine_seconds=2))
    made = settled(at("house"), taken)
    assert (made.next_state, made.reason) == (State.SUBMITTED, ENGINE_TIME)
    assert (made.outcome, made.cost, made.calls_more) == ("interrupted", 2 * GPU_SECOND, 1)
    last = settled(at("house", calls=2), taken)
    assert (last.next_state, last.reason) == (State.DEAD, "exhausted")
    assert last.error is not None
    assert "more of the engine of house than is held" in last.error["message"]
    stopped = settled(at("house", cancelled=True), taken)
    assert stopped.next_state is State.CANCELLED


def test_the_confidence_stands_on_attempt_and_receipt_and_on_a_refusal_too() -> None:
    sure = Completed(text="{}", usage=USAGE, model_served="m", confidence=0.75)
    made = settled(at("open"), accepted({"a": 1}, sure))
    assert made.receipt is not None
    assert made.receipt["confidence"] == made.confidence == 0.75
    refused = Rejected(
        reasons=("unsure",),
        usage=USAGE,
        model_served="m",
        reason="low_confidence",
        confidence=0.25,
    )
    assert settled(at("house"), refused).confidence == 0.25


def test_a_rejected_answer_is_charged_and_goes_one_tier_up() -> None:
    refused = Rejected(reasons=("too long",), usage=USAGE, model_served="m")
    made = settled(at("house"), refused)
    assert (made.next_state, made.refused_by) == (State.SUBMITTED, ("gpu",))
    last = settled(at("open", refused_by=["gpu"]), refused)
    assert (last.next_state, last.reason) == (State.DEAD, "rejected")
    assert last.cost == 120_000


def test_a_rejected_answer_of_the_highest_tier_that_may_do_the_item_ends_as_rejected() -> None:
    refused = Rejected(reasons=("too long",), usage=USAGE, model_served="m")
    made = settled(at("house", sensitivity="confidential"), refused)
    assert (made.next_state, made.reason) == (State.DEAD, "rejected")


def test_an_answer_that_is_only_doubtful_ends_as_low_confidence() -> None:
    refused = Rejected(reasons=("unsure",), usage=USAGE, model_served="m", reason="low_confidence")
    assert settled(at("open"), refused).reason == "low_confidence"


def test_throttling_costs_nothing_and_is_no_call() -> None:
    made = settled(at("open"), Throttled(after=3))
    assert (made.next_state, made.cost, made.calls_more) == (State.WAITING, 0, 0)
    assert made.ready_at is not None
    assert made.ready_at >= 15 * SECOND


@pytest.mark.parametrize(
    ("calls", "transient", "state"),
    [(0, True, State.WAITING), (2, True, State.DEAD), (0, False, State.DEAD)],
)
def test_a_failure_is_tried_again_within_the_budget_only_if_it_may_pass(
    calls: int, transient: bool, state: State
) -> None:
    failed = Failed(kind="server error", message="503", transient=transient)
    made = settled(at("open", calls=calls), failed)
    assert (made.next_state, made.cost) == (state, 0)
    died_of = "exhausted" if transient else "refused"
    assert made.reason == (died_of if state is State.DEAD else "server error")


def lost_reply(kind: str, *, own: bool = False, telling: bool = True, **row: Any) -> At:
    """A metered attempt whose reply was lost; ``telling``: it says something of the deployment."""
    condition = Condition(deployment="open", code="reply_lost") if telling else None
    return replace(at("open", **row), condition=condition, own=own)


def never_twice() -> Policy:
    return POLICY.model_copy(
        update={"retry": POLICY.retry.model_copy(update={"unknown": "dead_letter"})}
    )


@pytest.mark.parametrize("kind", sorted(LOST_ON_THE_WAY))
def test_what_an_outage_loses_is_booked_and_is_no_call_of_the_item(kind: str) -> None:
    lost_it = Unknown(kind=kind, message="open: HTTP 502")
    made = settled(lost_reply(kind, calls=2, throttles=40), lost_it)
    assert (made.outcome, made.cost) == ("unknown", made.held)
    assert (made.next_state, made.reason) == (State.WAITING, "reply_lost")
    assert (made.calls_more, made.throttles_more) == (0, 1)


def test_once_the_deployment_is_held_back_another_may_take_over() -> None:
    held = Condition(deployment="open", code="reply_lost", until=20 * SECOND)
    call = replace(at("open"), condition=held)
    made = settled(call, Unknown(kind="gateway", message="open: HTTP 502"))
    assert (made.outcome, made.cost) == ("unknown", made.held)
    assert (made.next_state, made.reason, made.calls_more) == (State.SUBMITTED, "reply_lost", 0)


def test_a_reply_lost_while_others_are_served_is_a_call_of_the_item() -> None:
    lost_it = Unknown(kind="gateway", message="open: HTTP 502")
    made = settled(lost_reply("gateway", own=True), lost_it)
    assert (made.next_state, made.reason, made.calls_more) == (State.WAITING, "gateway", 1)
    last = settled(lost_reply("gateway", own=True, calls=2), lost_it)
    assert (last.next_state, last.reason, last.cost) == (State.DEAD, "unknown", last.held)


def test_a_time_limit_is_a_call_of_the_item_and_its_end_where_others_are_served() -> None:
    late = Unknown(kind="timeout", message="open: no reply")
    black_hole = settled(lost_reply("timeout"), late)
    assert (black_hole.next_state, black_hole.calls_more) == (State.WAITING, 1)
    too_long = settled(lost_reply("timeout", own=True), late)
    assert (too_long.next_state, too_long.reason) == (State.DEAD, "unknown")


@pytest.mark.parametrize("kind", ["drain", "lost_lease", "internal_error"])
def test_a_paid_call_that_we_ended_is_not_paid_for_again(kind: str) -> None:
    ended = Unknown(kind=kind, message="the worker ended the call")
    made = settled(lost_reply(kind, telling=False), ended)
    assert (made.outcome, made.cost, made.next_state) == ("unknown", made.held, State.DEAD)
    assert made.reason == "unknown"


@given(
    kind=st.sampled_from([*LOST_ON_THE_WAY, "timeout", "unreadable_bill", "drain"]),
    own=st.booleans(),
    telling=st.booleans(),
    calls=st.integers(0, 10),
    twice=st.booleans(),
)
def test_whatever_follows_a_lost_reply_its_hold_is_booked_once(
    kind: str, own: bool, telling: bool, calls: int, twice: bool
) -> None:
    policy = POLICY if twice else never_twice()
    call = lost_reply(kind, own=own, telling=telling, calls=calls)
    made = settled(call, Unknown(kind=kind, message="lost"), policy)
    assert (made.outcome, made.cost, made.held) == ("unknown", HELD, HELD)
    if not twice:
        assert (made.next_state, made.reason) == (State.DEAD, "unknown")
    elif kind in LOST_ON_THE_WAY and telling and not own:
        assert made.next_state is State.WAITING


def test_a_lost_call_of_an_engine_of_ones_own_is_charged_its_time_and_tried_again() -> None:
    made = settled(at("house"), Unknown(kind="read", message="lost"))
    assert (made.cost, made.next_state) == (2 * GPU_SECOND, State.WAITING)


def test_house_work_that_was_interrupted_is_given_back_and_counts_towards_nothing() -> None:
    made = settled(at("house"), Interrupted(kind="drain", usage=Usage(engine_seconds=1)))
    assert (made.next_state, made.cost) == (State.ROUTED, GPU_SECOND)
    assert (made.calls_more, made.lost_more, made.throttles_more) == (0, 0, 0)


def test_a_cancelled_call_is_charged_and_ends_the_item() -> None:
    house = settled(at("house", cancelled=True), Interrupted(kind="cancelled"))
    paid = settled(at("open", cancelled=True), Unknown(kind="cancelled", message="ended"))
    assert house.next_state is paid.next_state is State.CANCELLED
    assert paid.cost == paid.held


def test_a_bill_above_the_bound_is_booked_in_full() -> None:
    big = Usage(input_tokens=10_000, output_tokens=10_000)
    made = settled(at("open"), accepted({}, done(big)))
    assert made.cost == 30_000_000
    assert made.detail is not None
    assert made.detail["overage"] == 25_000_000


def test_a_worker_lost_with_house_work_counts_towards_poison() -> None:
    first = silent("house")
    assert (first.next_state, first.lost_more, first.outcome) == (State.WAITING, 1, "lost")
    second = silent("house", lost_claims=1)
    assert (second.next_state, second.reason) == (State.DEAD, "poison")


def test_a_worker_lost_during_a_paid_call_is_unknown_at_the_first() -> None:
    made = silent("open")
    assert (made.next_state, made.reason, made.cost) == (State.DEAD, "unknown", made.held)


def test_a_fallback_is_taken_once_and_only_where_somebody_allowed_it() -> None:
    throttled = Throttled(after=3)
    assert settled(at("open"), throttled).next_state is State.WAITING
    allowed = {"on_throttle": "gpu"}
    made = settled(at("open", fallback=allowed), throttled)
    assert made.next_state is State.SUBMITTED
    assert made.degraded == {"to": "gpu", "from": "open", "on": "throttle"}
    again = settled(at("house", fallback=allowed, degraded=made.degraded), throttled)
    assert again.next_state is State.WAITING


def test_an_outage_falls_back_when_the_retry_budget_is_used_up() -> None:
    failed = Failed(kind="server error", message="503", transient=True)
    allowed = {"on_outage": "gpu"}
    first = settled(at("open", fallback=allowed), failed)
    assert first.next_state is State.WAITING
    last = settled(at("open", fallback=allowed, calls=2), failed)
    assert (last.next_state, last.calls_more) == (State.SUBMITTED, 1)
    bad = Failed(kind="bad request", message="400", transient=False)
    assert settled(at("open", fallback=allowed), bad).next_state is State.DEAD


def test_a_tier_that_an_evaluation_asks_alone_is_not_climbed_from() -> None:
    refused = Rejected(reasons=("wrong",), usage=USAGE, model_served="m")
    made = settled(at("house", pinned="gpu"), refused)
    assert (made.next_state, made.reason) == (State.DEAD, "rejected")
    assert made.cost > 0 or made.usage is not None


def test_a_refused_answer_of_a_fallback_climbs_no_further() -> None:
    refused = Rejected(reasons=("wrong",), usage=USAGE, model_served="m")
    degraded = {"to": "gpu", "from": "open", "on": "ceiling"}
    made = settled(at("house", degraded=degraded), refused)
    assert (made.next_state, made.reason) == (State.DEAD, "rejected")


@pytest.mark.parametrize(
    ("metered", "losses", "cancel", "state", "reason"),
    [
        (False, 0, False, State.SUBMITTED, "lost_claim"),
        (False, 1, False, State.DEAD, "poison"),
        (True, 0, False, State.DEAD, "unknown"),
        (False, 0, True, State.CANCELLED, "cancelled"),
    ],
)
def test_a_claim_lost_on_a_deployment_that_is_gone_is_booked_and_routed_anew(
    metered: bool, losses: int, cancel: bool, state: State, reason: str
) -> None:
    made = silent(None, metered=metered, lost_claims=losses, cancel_requested=cancel)
    assert (made.next_state, made.reason) == (state, reason)
    assert (made.cost, made.held, made.fence, made.lost_more) == (HELD, HELD, 3, 1)


@pytest.mark.parametrize("deployment", ["house", "open", None])
def test_an_item_that_was_cancelled_ends_as_such_however_its_claim_was_lost(
    deployment: str | None,
) -> None:
    made = silent(deployment, cancel_requested=True)
    assert (made.next_state, made.reason) == (State.CANCELLED, "cancelled")


def test_what_was_lost_beside_a_likelier_killer_is_tried_again_and_not_blamed() -> None:
    made = silent("house", lost_claims=1, blamed=False)
    assert (made.next_state, made.lost_more) == (State.WAITING, 0)


DOWN = Unavailable(kind="outage", message="open: HTTP 503")


def test_what_a_deployment_cannot_serve_is_nobody_s_call_and_waits() -> None:
    made = settled(at("open", calls=2, throttles=70), DOWN)
    assert (made.next_state, made.reason, made.outcome) == (State.WAITING, "outage", "unavailable")
    assert (made.cost, made.calls_more, made.throttles_more) == (0, 0, 1)
    assert made.ready_at is not None
    assert made.ready_at <= (12 + POLICY.retry.cap) * SECOND


def test_what_a_deployment_that_is_held_back_cannot_serve_is_routed_anew() -> None:
    held = Condition(deployment="open", code="outage", since=1, until=99, faults=5, rounds=1)
    made = settled(replace(at("open", calls=2), condition=held), DOWN)
    assert (made.next_state, made.reason, made.calls_more) == (State.SUBMITTED, "outage", 0)
    stopped = settled(replace(at("open", cancelled=True), condition=held), DOWN)
    assert stopped.next_state is State.CANCELLED


def test_a_fault_that_the_item_itself_brings_about_is_its_call() -> None:
    made = settled(replace(at("open"), own=True), DOWN)
    assert (made.outcome, made.next_state, made.calls_more) == ("failed", State.WAITING, 1)
    last = settled(replace(at("open", calls=2), own=True), DOWN)
    assert (last.next_state, last.reason) == (State.DEAD, "exhausted")


def test_an_engine_that_went_down_counts_towards_poison_and_its_time_is_charged() -> None:
    died = Unavailable(kind="engine_died", message="it died", usage=Usage(engine_seconds=1))
    made = settled(at("house"), died)
    assert (made.next_state, made.lost_more, made.calls_more) == (State.WAITING, 1, 0)
    assert made.cost == GPU_SECOND
    last = settled(at("house", lost_claims=1), died)
    assert (last.next_state, last.reason) == (State.DEAD, "poison")
