"""Replies as odd as real servers', through real processes: what is billed is booked, and said."""

import pytest

from tests.acceptance.acceptance_system import Build, RunningSystem
from tierqueue.router.errors import (
    ChargeUnknown,
    ContextWindowExceeded,
    RequestTooLarge,
    Withheld,
    WrongModel,
)
from tierqueue.tasks import classify, complete

LABELS = ["lost card", "refund", "other"]


@pytest.fixture(scope="module")
def running(build_system: Build) -> RunningSystem:
    return build_system()


def test_a_throttle_inside_a_200_waits_and_costs_nothing(running: RunningSystem) -> None:
    text = "[[sandbox:error_in_200 times=1]] my refund"
    receipt = classify.delay(text, labels=LABELS, floor="frontier").get(timeout=60)["receipt"]
    assert receipt["attempts"] == 1
    tried = running.attempts(receipt["item"])
    assert [attempt.outcome for attempt in tried] == ["throttled", "accepted"]
    assert tried[0].cost == 0


@pytest.mark.parametrize("marker", ["no_usage", "zero_usage"])
def test_a_vendors_bill_that_cannot_be_true_is_booked_at_the_hold(
    running: RunningSystem, marker: str
) -> None:
    asked = classify.delay(f"[[sandbox:{marker}]] why", labels=LABELS, floor="frontier")
    with pytest.raises(ChargeUnknown) as lost:
        asked.get(timeout=60)
    [tried] = running.attempts(lost.value.fields["item"])
    assert (tried.outcome, tried.detail["kind"]) == ("unknown", "unreadable_bill")
    assert tried.cost == tried.held > 0


def test_a_house_server_without_usage_is_served_by_an_estimate(running: RunningSystem) -> None:
    receipt = classify.delay("[[sandbox:no_usage]] why", labels=LABELS).get(timeout=60)["receipt"]
    assert (receipt["tier"], receipt["attempts"]) == ("gpu", 1)
    assert receipt["tokens"]["estimated"] is True
    assert receipt["tokens"]["input"] > 0


@pytest.mark.parametrize("marker", ["filtered", "too_long", "too_large"])
def test_a_prompt_that_one_tier_refuses_is_done_by_the_next(
    running: RunningSystem, marker: str
) -> None:
    text = f"[[sandbox:{marker} model=house-tiny]] my refund"
    receipt = classify.delay(text, labels=LABELS).get(timeout=60)["receipt"]
    assert (receipt["tier"], receipt["attempts"]) == ("open_weight", 2)
    refused, accepted = running.attempts(receipt["item"])
    ended = "failed" if marker == "too_large" else "rejected"
    assert (refused.cost, refused.outcome, accepted.outcome) == (0, ended, "accepted")


def test_a_prompt_that_no_tier_takes_dies_of_what_it_was_refused_for(
    running: RunningSystem,
) -> None:
    with pytest.raises(ContextWindowExceeded, match="context window") as long:
        classify.delay("[[sandbox:too_long]] x", labels=LABELS).get(timeout=60)
    text = "[[sandbox:too_large status=413]] x"
    with pytest.raises(RequestTooLarge, match="one request is larger than the provider takes"):
        classify.delay(text, labels=LABELS, floor="open_weight").get(timeout=60)
    with pytest.raises(Withheld, match="withheld"):
        classify.delay("[[sandbox:filtered]] x", labels=LABELS).get(timeout=60)
    assert running.item(long.value.fields["item"]).spent == 0


def test_a_whole_answer_is_taken_without_a_reason_and_without_its_thoughts(
    running: RunningSystem,
) -> None:
    for marker in ("no_finish", "thinks"):
        text = f"[[sandbox:{marker}]] my refund"
        answer = classify.delay(text, labels=LABELS, floor="frontier").get(timeout=60)
        assert answer["output"]["label"] in LABELS
    text = complete.delay("[[sandbox:thinks]] Say hello").get(timeout=60).output.text
    assert text.startswith("Simulated answer")


def test_another_models_answer_is_refused_unless_only_we_are_hurt(running: RunningSystem) -> None:
    with pytest.raises(WrongModel) as refused:
        classify.delay("[[sandbox:other_model]] x", labels=LABELS, risk="auto_applied").get(
            timeout=30
        )
    tried = running.attempts(refused.value.fields["item"])
    assert {attempt.detail["model_served"] for attempt in tried} == {"sandbox-other-model"}
    assert tried[-1].cost > 0
    mild = classify.delay("[[sandbox:other_model]] y", labels=LABELS, risk="internal")
    receipt = mild.get(timeout=60)["receipt"]
    assert (receipt["model_served"], receipt["other_model"]) == ("sandbox-other-model", True)
