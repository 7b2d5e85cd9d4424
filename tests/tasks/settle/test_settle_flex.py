"""What is written of a call by a provider's flex tier: refused, served, or billed otherwise."""

from typing import Any

import pytest

from tests.ledger.claimed import a_claim, an_item
from tierqueue.ledger.lifecycle.settlements import Settlement
from tierqueue.router.lifecycle import State
from tierqueue.router.outcome import Accepted, Completed, FlexRefused, Outcome, Unknown, Usage
from tierqueue.router.policy.policy import parse_policy
from tierqueue.tasks.settle.decide import settlement
from tierqueue.tasks.settle.write import Verdict

POLICY = parse_policy(
    """
[deployments.open]
tier = "open_weight"
engine = "openai"
model = "m"
key_env = "KEY"
boundary = "vendor:v"
context_window = 1000
prices = { input = "2", output = "4" }
[deployments.open.flex]
prices = { input = "1", output = "2" }
timeout = 60
[retry]
base = 1.0
cap = 64.0
""",
    "test",
)
DEPLOYMENT = POLICY.deployments["open"]
SECOND = 1_000_000
NOW = 12 * SECOND
HELD = 130_000
assert DEPLOYMENT.flex is not None
LEAST = DEPLOYMENT.flex.least


def settled(outcome: Outcome, *, cancelled: bool = False, **stated: Any) -> Settlement:
    """What is written where a call by the flex tier ends with this outcome."""
    item = an_item(**{"sensitivity": "public", "lane": "flex", **stated})
    return settlement(
        a_claim(item, held=HELD, started_at=10 * SECOND),
        DEPLOYMENT,
        outcome,
        POLICY,
        now=NOW,
        draw=0.5,
        verdict=Verdict(condition=None, own=False),
        stopped=cancelled,
    )


def answered(tier: str | None) -> Accepted:
    usage = Usage(input_tokens=100, output_tokens=10, service_tier=tier)
    done = Completed(text="{}", usage=usage, model_served="m", seconds=300.0)
    return Accepted(output={}, completed=done, prompt_version="1")


def test_without_capacity_an_item_asks_again_later_and_nothing_is_charged() -> None:
    made = settled(FlexRefused(), deadline=NOW + 24 * 3_600 * SECOND, throttles=3)
    assert (made.next_state, made.reason, made.cost) == (State.WAITING, "flex", 0)
    assert made.ready_at == NOW + 6 * SECOND
    assert (made.lane, made.calls_more, made.throttles_more) == (None, 0, 1)


def test_it_does_not_ask_again_beyond_the_time_at_which_it_has_to_go_live() -> None:
    made = settled(FlexRefused(after=600.0), deadline=NOW + LEAST + 5 * SECOND)
    assert made.ready_at == NOW + 5 * SECOND
    late = settled(FlexRefused(), deadline=NOW + LEAST - 1)
    assert late.ready_at == NOW


def test_where_the_tier_does_not_take_the_model_the_item_goes_live() -> None:
    made = settled(FlexRefused(lasting=True), deadline=NOW + 24 * 3_600 * SECOND)
    assert (made.next_state, made.lane, made.cost) == (State.SUBMITTED, "live", 0)


@pytest.mark.parametrize("lasting", [True, False])
def test_a_cancelled_item_asks_no_more(lasting: bool) -> None:
    made = settled(FlexRefused(lasting=lasting), cancelled=True, deadline=NOW + 2 * LEAST)
    assert made.next_state is State.CANCELLED


def test_an_answer_by_the_flex_tier_is_charged_at_its_price_and_its_receipt_says_so() -> None:
    made = settled(answered("flex"))
    assert made.receipt is not None
    assert (made.cost, made.detail, made.receipt["service_tier"]) == (120_000, None, "flex")
    # How long it took says nothing of how soon a live call is answered.
    assert made.judged is None


@pytest.mark.parametrize("served", ["default", "priority", None])
def test_what_another_tier_served_is_booked_at_the_live_price_and_said(served: str | None) -> None:
    made = settled(answered(served))
    assert made.receipt is not None
    assert (made.cost, made.receipt["service_tier"]) == (240_000, served)
    assert made.detail == {"billed_as": served or "unsaid", "overage": 240_000 - HELD}


def test_a_live_call_that_the_flex_tier_served_is_charged_at_its_price() -> None:
    made = settled(answered("flex"), lane=None)
    assert (made.cost, made.detail) == (120_000, None)


def test_a_lost_reply_is_booked_at_its_hold() -> None:
    made = settled(Unknown(kind="timeout", message="no reply"))
    assert made.cost == HELD
