"""The one match over outcomes: what is charged, and where the item goes."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ledger.claimed import an_attempt, an_item
from tierqueue.router.condition import Condition
from tierqueue.router.lifecycle import State
from tierqueue.router.outcome import (
    LOST_ON_THE_WAY,
    Accepted,
    Completed,
    Failed,
    Interrupted,
    Rejected,
    Throttled,
    Unavailable,
    Unknown,
    Usage,
)
from tierqueue.router.policy.policy import Policy, parse_policy
from tierqueue.tasks.settle import Attempt, lost, lost_astray, settlement

POLICY = parse_policy(
    """
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
[retry]
calls = 3
poison = 2
""",
    "test",
)
USAGE = Usage(input_tokens=100, output_tokens=10)
SECOND = 1_000_000
GPU_SECOND = 1_000_000
"""Nano-dollars: 3.60 dollars an hour is a thousandth of a dollar a second."""


def attempt(deployment: str, *, cancelled: bool = False, **row: Any) -> Attempt:
    """One attempt of an item, two seconds after its claim."""
    return Attempt(
        item=an_item(**{"sensitivity": "public", **row}),
        fence=1,
        held=5_000_000,
        balances=("b",),
        started_at=10 * SECOND,
        deployment=POLICY.deployments[deployment],
        prompt_version="1",
        now=12 * SECOND,
        draw=0.5,
        cancelled=cancelled,
    )


def done(usage: Usage = USAGE) -> Completed:
    return Completed(text="{}", usage=usage, model_served="m-1", seconds=0.5)


def test_an_accepted_answer_is_charged_to_the_provider_s_own_usage() -> None:
    made = settlement(attempt("open", spent=7), Accepted(output={"a": 1}, completed=done()), POLICY)
    assert made.next_state is State.SUCCEEDED
    assert made.cost == 100 * 1000 + 10 * 2000
    assert made.receipt is not None
    assert made.receipt["cost_nanousd"] == 7 + made.cost
    assert made.receipt["model_served"] == "m-1"
    assert made.calls_more == 1


def test_a_rejected_answer_is_charged_and_goes_one_tier_up() -> None:
    refused = Rejected(reasons=("too long",), usage=USAGE, model_served="m")
    made = settlement(attempt("house"), refused, POLICY)
    assert (made.next_state, made.refused_by) == (State.SUBMITTED, ("gpu",))
    last = settlement(attempt("open", refused_by=["gpu"]), refused, POLICY)
    assert (last.next_state, last.reason) == (State.DEAD, "rejected")
    assert last.cost == 120_000


def test_an_answer_that_is_only_doubtful_ends_as_low_confidence() -> None:
    refused = Rejected(reasons=("unsure",), usage=USAGE, model_served="m", reason="low_confidence")
    assert settlement(attempt("open"), refused, POLICY).reason == "low_confidence"


def test_throttling_costs_nothing_and_is_no_call() -> None:
    made = settlement(attempt("open"), Throttled(after=3), POLICY)
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
    made = settlement(attempt("open", calls=calls), failed, POLICY)
    assert (made.next_state, made.cost) == (state, 0)
    died_of = "exhausted" if transient else "refused"
    assert made.reason == (died_of if state is State.DEAD else "server error")


def lost_reply(kind: str, *, own: bool = False, telling: bool = True, **row: Any) -> Attempt:
    """A metered attempt whose reply was lost; ``telling``: it says something of the deployment."""
    condition = Condition(deployment="open", code="reply_lost") if telling else None
    return replace(attempt("open", **row), condition=condition, own=own)


def never_twice() -> Policy:
    return POLICY.model_copy(
        update={"retry": POLICY.retry.model_copy(update={"unknown": "dead_letter"})}
    )


@pytest.mark.parametrize("kind", sorted(LOST_ON_THE_WAY))
def test_what_an_outage_loses_is_booked_and_is_no_call_of_the_item(kind: str) -> None:
    lost_it = Unknown(kind=kind, message="open: HTTP 502")
    made = settlement(lost_reply(kind, calls=2, throttles=40), lost_it, POLICY)
    assert (made.outcome, made.cost) == ("unknown", made.held)
    assert (made.next_state, made.reason) == (State.WAITING, "reply_lost")
    assert (made.calls_more, made.throttles_more) == (0, 1)


def test_once_the_deployment_is_held_back_another_may_take_over() -> None:
    held = Condition(deployment="open", code="reply_lost", until=20 * SECOND)
    at = replace(attempt("open"), condition=held)
    made = settlement(at, Unknown(kind="gateway", message="open: HTTP 502"), POLICY)
    assert (made.outcome, made.cost) == ("unknown", made.held)
    assert (made.next_state, made.reason, made.calls_more) == (State.SUBMITTED, "reply_lost", 0)


def test_a_reply_lost_while_others_are_served_is_a_call_of_the_item() -> None:
    lost_it = Unknown(kind="gateway", message="open: HTTP 502")
    made = settlement(lost_reply("gateway", own=True), lost_it, POLICY)
    assert (made.next_state, made.reason, made.calls_more) == (State.WAITING, "gateway", 1)
    last = settlement(lost_reply("gateway", own=True, calls=2), lost_it, POLICY)
    assert (last.next_state, last.reason, last.cost) == (State.DEAD, "unknown", last.held)


def test_a_time_limit_is_a_call_of_the_item_and_its_end_where_others_are_served() -> None:
    late = Unknown(kind="timeout", message="open: no reply")
    black_hole = settlement(lost_reply("timeout"), late, POLICY)
    assert (black_hole.next_state, black_hole.calls_more) == (State.WAITING, 1)
    too_long = settlement(lost_reply("timeout", own=True), late, POLICY)
    assert (too_long.next_state, too_long.reason) == (State.DEAD, "unknown")


@pytest.mark.parametrize("kind", ["drain", "lost lease", "internal error"])
def test_a_paid_call_that_we_ended_is_not_paid_for_again(kind: str) -> None:
    ended = Unknown(kind=kind, message="the worker ended the call")
    made = settlement(lost_reply(kind, telling=False), ended, POLICY)
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
    at = lost_reply(kind, own=own, telling=telling, calls=calls)
    made = settlement(at, Unknown(kind=kind, message="lost"), policy)
    assert (made.outcome, made.cost, made.held) == ("unknown", at.held, at.held)
    if not twice:
        assert (made.next_state, made.reason) == (State.DEAD, "unknown")
    elif kind in LOST_ON_THE_WAY and telling and not own:
        assert made.next_state is State.WAITING


def test_a_lost_call_of_a_house_engine_is_charged_its_time_and_tried_again() -> None:
    made = settlement(attempt("house"), Unknown(kind="read", message="lost"), POLICY)
    assert (made.cost, made.next_state) == (2 * GPU_SECOND, State.WAITING)


def test_house_work_that_was_interrupted_is_given_back_and_counts_towards_nothing() -> None:
    made = settlement(
        attempt("house"), Interrupted(kind="drain", usage=Usage(engine_seconds=1)), POLICY
    )
    assert (made.next_state, made.cost) == (State.ROUTED, GPU_SECOND)
    assert (made.calls_more, made.lost_more, made.throttles_more) == (0, 0, 0)


def test_a_cancelled_call_is_charged_and_ends_the_item() -> None:
    house = settlement(attempt("house", cancelled=True), Interrupted(kind="cancelled"), POLICY)
    paid = settlement(
        attempt("open", cancelled=True), Unknown(kind="cancelled", message="ended"), POLICY
    )
    assert house.next_state is paid.next_state is State.CANCELLED
    assert paid.cost == paid.held


def test_a_bill_above_the_bound_is_booked_in_full() -> None:
    big = Usage(input_tokens=10_000, output_tokens=10_000)
    made = settlement(attempt("open"), Accepted(output={}, completed=done(big)), POLICY)
    assert made.cost == 30_000_000
    assert made.detail is not None
    assert made.detail["overage"] == 25_000_000


def test_a_worker_lost_with_house_work_counts_towards_poison() -> None:
    first = lost(attempt("house"), POLICY, cancel_requested=False)
    assert (first.next_state, first.lost_more, first.outcome) == (State.WAITING, 1, "lost")
    second = lost(attempt("house", lost_claims=1), POLICY, cancel_requested=False)
    assert (second.next_state, second.reason) == (State.DEAD, "poison")


def test_a_worker_lost_during_a_paid_call_is_unknown_at_the_first() -> None:
    made = lost(attempt("open"), POLICY, cancel_requested=False)
    assert (made.next_state, made.reason, made.cost) == (State.DEAD, "unknown", made.held)


def test_a_fallback_is_taken_once_and_only_where_somebody_allowed_it() -> None:
    throttled = Throttled(after=3)
    assert settlement(attempt("open"), throttled, POLICY).next_state is State.WAITING
    allowed = {"on_throttle": "gpu"}
    made = settlement(attempt("open", fallback=allowed), throttled, POLICY)
    assert made.next_state is State.SUBMITTED
    assert made.degraded == {"to": "gpu", "from": "open", "on": "throttle"}
    again = settlement(
        attempt("house", fallback=allowed, degraded=made.degraded), throttled, POLICY
    )
    assert again.next_state is State.WAITING


def test_an_outage_falls_back_when_the_retry_budget_is_used_up() -> None:
    failed = Failed(kind="server error", message="503", transient=True)
    allowed = {"on_outage": "gpu"}
    first = settlement(attempt("open", fallback=allowed), failed, POLICY)
    assert first.next_state is State.WAITING
    last = settlement(attempt("open", fallback=allowed, calls=2), failed, POLICY)
    assert (last.next_state, last.calls_more) == (State.SUBMITTED, 1)
    bad = Failed(kind="bad request", message="400", transient=False)
    assert settlement(attempt("open", fallback=allowed), bad, POLICY).next_state is State.DEAD


def test_a_refused_answer_of_a_fallback_climbs_no_further() -> None:
    refused = Rejected(reasons=("wrong",), usage=USAGE, model_served="m")
    degraded = {"to": "gpu", "from": "open", "on": "ceiling"}
    made = settlement(attempt("house", degraded=degraded), refused, POLICY)
    assert (made.next_state, made.reason) == (State.DEAD, "rejected")


@pytest.mark.parametrize(
    ("metered", "losses", "cancel", "state", "reason"),
    [
        (False, 0, False, State.SUBMITTED, "lost claim"),
        (False, 1, False, State.DEAD, "poison"),
        (True, 0, False, State.DEAD, "unknown"),
        (False, 0, True, State.CANCELLED, "cancelled"),
    ],
)
def test_a_claim_lost_on_a_deployment_that_is_gone_is_booked_and_routed_anew(
    metered: bool, losses: int, cancel: bool, state: State, reason: str
) -> None:
    item = an_item(lost_claims=losses, cancel_requested=cancel)
    settled = lost_astray(item, an_attempt(fence=3, metered=metered, held=700), POLICY, 0.5)
    assert (settled.next_state, settled.reason) == (state, reason)
    assert (settled.cost, settled.held, settled.fence, settled.lost_more) == (700, 700, 3, 1)


def test_what_was_lost_beside_a_likelier_killer_is_tried_again_and_not_blamed() -> None:
    settled = lost(attempt("house", lost_claims=1), POLICY, cancel_requested=False, blamed=False)
    assert (settled.next_state, settled.lost_more) == (State.WAITING, 0)


DOWN = Unavailable(kind="outage", message="open: HTTP 503")


def test_what_a_deployment_cannot_serve_is_nobody_s_call_and_waits() -> None:
    made = settlement(attempt("open", calls=2, throttles=70), DOWN, POLICY)
    assert (made.next_state, made.reason, made.outcome) == (State.WAITING, "outage", "unavailable")
    assert (made.cost, made.calls_more, made.throttles_more) == (0, 0, 1)
    assert made.ready_at is not None
    assert made.ready_at <= (12 + POLICY.retry.cap) * SECOND


def test_what_a_deployment_that_is_held_back_cannot_serve_is_routed_anew() -> None:
    held = Condition(deployment="open", code="outage", since=1, until=99, faults=5, rounds=1)
    made = settlement(replace(attempt("open", calls=2), condition=held), DOWN, POLICY)
    assert (made.next_state, made.reason, made.calls_more) == (State.SUBMITTED, "outage", 0)
    stopped = settlement(replace(attempt("open", cancelled=True), condition=held), DOWN, POLICY)
    assert stopped.next_state is State.CANCELLED


def test_a_fault_that_the_item_itself_brings_about_is_its_call() -> None:
    made = settlement(replace(attempt("open"), own=True), DOWN, POLICY)
    assert (made.outcome, made.next_state, made.calls_more) == ("failed", State.WAITING, 1)
    last = settlement(replace(attempt("open", calls=2), own=True), DOWN, POLICY)
    assert (last.next_state, last.reason) == (State.DEAD, "exhausted")


def test_an_engine_that_went_down_counts_towards_poison_and_its_time_is_charged() -> None:
    died = Unavailable(kind="engine_died", message="it died", usage=Usage(engine_seconds=1))
    made = settlement(attempt("house"), died, POLICY)
    assert (made.next_state, made.lost_more, made.calls_more) == (State.WAITING, 1, 0)
    assert made.cost == GPU_SECOND
    last = settlement(attempt("house", lost_claims=1), died, POLICY)
    assert (last.next_state, last.reason) == (State.DEAD, "poison")
