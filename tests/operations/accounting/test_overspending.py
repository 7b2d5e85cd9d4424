"""What a cheaper tier would have saved: by evidence and labels, and never across a boundary."""

from typing import Any

import pytest

from tierqueue.ledger.accounting.spending import CallHistory
from tierqueue.ledger.evaluation.first_answers import FirstAnswers, LabelCounts
from tierqueue.operations.accounting.overspending import Overspending, overspent
from tierqueue.router.policy.policy import parse_policy
from tierqueue.router.selection.evidence import Evidence

POLICY = parse_policy(
    """
[deployments.small]
tier = "open_weight"
engine = "openai"
model = "m"
boundary = "vendor:v"
key_env = "KEY"
context_window = 1000
prices = { input = "1", output = "2" }
[deployments.best]
tier = "frontier"
engine = "anthropic"
model = "m"
boundary = "house"
key_env = "KEY"
context_window = 1000
prices = { input = "5", output = "25" }
""",
    "test",
)
PAST = CallHistory(
    items=100, accepted=90, rejected=10, cost=10_000, squares=1e6, seconds=1.0, tokens=100.0
)


def paid(**stated: Any) -> FirstAnswers:
    """A thousand answers of the best, at 1,000 nano-dollars."""
    usual: dict[str, Any] = {
        "task": "t",
        "deployment": "best",
        "sensitivity": "public",
        "floor": "gpu",
        "simulated": False,
        "items": 1_000,
        "cost": 1_000_000,
    }
    return FirstAnswers(**{**usual, **stated})


def found(
    group: FirstAnswers, answers: int = 100, accepted: int = 90, judged: LabelCounts | None = None
) -> Overspending:
    seen = {"t": {"small": Evidence(answers, accepted, 1, 1, 1.0)}}
    said = {} if judged is None else {("t", "small"): judged}
    (one,) = overspent([group], POLICY, seen, said, {"t": {("small", False): PAST}})
    return one


def test_the_cheaper_tier_is_paid_for_every_item_and_spares_what_it_passes() -> None:
    one = found(paid())
    assert one.floor is None
    assert one.cheaper is not None
    assert (one.cheaper.deployment, one.cheaper.answers) == ("small", 100)
    assert one.cheaper.passes is not None
    assert one.cheaper.saves is not None
    assert one.cheaper.passes.value == 0.9
    assert one.cheaper.saves.value == pytest.approx(1_000 * (0.9 * 1_000 - 100))
    assert one.cheaper.saves.low < one.cheaper.saves.value < one.cheaper.saves.high
    assert (round(one.cheaper.passes.low, 3), round(one.cheaper.passes.high, 3)) == (0.824, 0.951)


def test_what_people_said_counts_from_thirty_answers_on() -> None:
    few = found(paid(), judged=LabelCounts(29, 0)).cheaper
    many = found(paid(), accepted=70, judged=LabelCounts(40, 20)).cheaper
    assert few is not None
    assert few.passes is not None
    assert many is not None
    assert many.passes is not None
    assert few.passes.value == 0.9
    # Of 90 that were accepted 20 were called wrong, and half of those that were judged.
    assert many.passes.value == pytest.approx(0.9 * 0.5)


def test_a_floor_is_named_and_a_boundary_holds() -> None:
    assert found(paid(floor="frontier")).floor == "frontier"
    assert found(paid(sensitivity="regulated")).cheaper is None
    assert found(paid(sensitivity=None)).cheaper is None


def test_of_too_few_answers_nothing_is_concluded_and_what_saves_nothing_is_not_told() -> None:
    few = found(paid(), answers=29, accepted=29).cheaper
    assert few is not None
    assert (few.answers, few.saves) == (29, None)
    assert found(paid(), accepted=5).cheaper is None
    assert found(paid(deployment="small", cost=1)).cheaper is None
    assert overspent([paid(deployment="gone")], POLICY, {}, {}, {}) == []
