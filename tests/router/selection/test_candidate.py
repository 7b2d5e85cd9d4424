"""What a deployment can never take in one call, and for whom, is refused before it is tried."""

from datetime import date

import pytest

from tests.router.specs import FRONTIER, a_spec, policy_of
from tierqueue.router.item import Sensitivity
from tierqueue.router.policy.deployment import Limits
from tierqueue.router.selection.candidate import (
    Candidate,
    PayingBudget,
    candidates_of,
    highest,
    limited,
    over_window,
)

TODAY = date(2026, 11, 1).toordinal() - date(1970, 1, 1).toordinal()
INTERNAL = Sensitivity.INTERNAL


def a_candidate(more: str = "", **stated: object) -> Candidate:
    [found] = candidates_of(policy_of([a_spec("d", **stated)], more), "t", INTERNAL, 0, TODAY)  # type: ignore[arg-type]
    return found


def refused(
    candidate: Candidate, inputs: int, outputs: int, paying: PayingBudget | None = None
) -> str:
    refusal = over_window(candidate, inputs, outputs, paying)
    return "" if refusal is None else refusal.rule


def test_input_and_output_together_have_to_fit_the_window() -> None:
    candidate = a_candidate(window=1_000)
    assert refused(candidate, 900, 100) == ""
    assert refused(candidate, 900, 101) == "context_window"


def test_one_call_above_what_its_limiter_ever_grants_is_refused_at_once() -> None:
    candidate = a_candidate(window=100_000, per_minute=6_000)
    assert candidate.burst is not None
    assert refused(candidate, candidate.burst, 0) == ""
    assert refused(candidate, candidate.burst, 1) == "token_limit"


def test_what_an_operator_chose_stands_in_place_of_the_policys_limit() -> None:
    candidate = a_candidate(window=100_000, per_minute=6_000)
    [wide] = limited((candidate,), {"d": {"tokens_per_minute": 10**9}})
    assert refused(wide, 90_000, 0) == ""
    assert limited((candidate,), {"other": {"tokens_per_minute": 1}})[0] == candidate


@pytest.mark.parametrize(
    ("key", "fits", "more"),
    [
        ("tokens_per_minute", (20, 30), (20, 31)),
        ("input_tokens_per_minute", (100, 0), (101, 0)),
        ("output_tokens_per_minute", (0, 100), (0, 101)),
    ],
)
def test_a_budget_that_allows_less_in_a_minute_refuses_and_says_so(
    key: str, fits: tuple[int, int], more: tuple[int, int]
) -> None:
    paying = PayingBudget("acme", Limits.model_validate({key: 100}))
    candidate = a_candidate()
    assert over_window(candidate, *fits, paying) is None
    refusal = over_window(candidate, *more, paying)
    assert refusal is not None
    assert (refusal.rule, "budget acme" in refusal.why) == ("token_limit", True)


def test_the_highest_tier_is_that_of_those_who_may_do_the_item() -> None:
    specs = [a_spec("own"), a_spec("best", FRONTIER, boundary="vendor:v")]
    for sensitivity, rank in ((INTERNAL, 2), (Sensitivity.CONFIDENTIAL, 0)):
        found = candidates_of(policy_of(specs), "t", sensitivity, 0, TODAY)
        assert highest(found) == rank
