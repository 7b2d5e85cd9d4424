"""What no tier's answer was good enough for is parked for a person, where somebody reviews."""

import pytest

from tests.tasks.settle.test_settle_decide import DEPLOYMENTS, SECOND, USAGE, at, settled
from tierqueue.ledger.lifecycle.settlements import Parking
from tierqueue.router.lifecycle import State
from tierqueue.router.outcome import Failed, Rejected
from tierqueue.router.policy.policy import parse_policy

REVIEW = '[tasks.t.review]\nwithin = "1h"\nassignee = "claims"\n'
REVIEWED = parse_policy(REVIEW + DEPLOYMENTS, "test")
DAY = 86_400 * SECOND


def doubtful(reason: str = "low_confidence") -> Rejected:
    return Rejected(
        reasons=("unsure",), usage=USAGE, model_served="m", reason=reason, answer={"label": "a"}
    )


@pytest.mark.parametrize("reason", ["low_confidence", "rejected"])
def test_what_the_top_is_not_sure_of_waits_for_a_person(reason: str) -> None:
    made = settled(at("open", deadline=DAY), doubtful(reason), REVIEWED)
    assert (made.next_state, made.reason, made.error) == (State.REVIEW, reason, None)
    assert made.refused == {"label": "a"}
    assert made.cost == 120_000
    assert made.parked == Parking(due=12 * SECOND + 3_600 * SECOND, assignee="claims")
    soon = settled(at("open", deadline=20 * SECOND), doubtful(reason), REVIEWED)
    assert soon.parked == Parking(due=20 * SECOND, assignee="claims")


def test_a_person_is_asked_after_every_tier_and_of_answers_alone() -> None:
    below = settled(at("house", deadline=DAY), doubtful(), REVIEWED)
    assert (below.next_state, below.refused) == (State.SUBMITTED, {"label": "a"})
    for reason in ("truncated", "withheld", "repetition", "wrong_model"):
        made = settled(at("open", deadline=DAY), doubtful(reason), REVIEWED)
        assert (made.next_state, made.parked) == (State.DEAD, None)
    too_large = Failed(kind="large", message="m", transient=False, reason="context_window")
    assert settled(at("open", deadline=DAY), too_large, REVIEWED).next_state is State.DEAD


def test_no_answer_is_kept_where_nobody_reviews() -> None:
    assert settled(at("open", deadline=DAY), doubtful()).refused is None
    alone = settled(at("open", deadline=DAY, pinned="open_weight"), doubtful(), REVIEWED)
    assert (alone.next_state, alone.refused) == (State.DEAD, None)
