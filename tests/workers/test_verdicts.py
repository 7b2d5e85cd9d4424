"""Whose fault a call's end is, over real conditions, and what is said of it."""

from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from tests.ledger.claimed import a_claim, an_item
from tierqueue.ledger.in_force import conditions
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.router.condition import FAULTS, Condition
from tierqueue.router.outcome import Outcome, Rejected, Throttled, Unavailable, Unknown, Usage
from tierqueue.router.policy.deployment import Deployment
from tierqueue.workers.limits.breaker import Breaker
from tierqueue.workers.verdicts import EndedCall, Judge, Judgement

SECOND = 1_000_000
DOWN = Unavailable(kind="outage", message="open: HTTP 503")
OPEN = Deployment.model_validate(
    {
        "name": "open",
        "policy": "p",
        "tier": "open_weight",
        "engine": "openai",
        "model": "m",
        "boundary": "vendor:v",
        "key_env": "KEY",
        "context_window": 1000,
        "prices": {"input": "1", "output": "2"},
    }
)
ANSWER = Rejected(reasons=("no",), usage=Usage(), model_served="m")


class Settling:
    """Calls of one deployment that are judged and noted as the settler does, batch by batch."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.breaker = Breaker(self._known)
        self.judge = Judge(ledger, self.breaker)
        self.now = 1_000 * SECOND
        self.noted = 0

    def _known(self) -> tuple[int, dict[str, Condition]]:
        with self._ledger.read() as connection:
            return database_now(connection), conditions.by_deployment(connection)

    def __call__(
        self, *ended: tuple[str, Outcome], begun: float = 0.1, telling: bool = True
    ) -> Judgement:
        """What is made of these ends, a second after the last, each begun so long ago."""
        self.now += SECOND
        start = self.now - round(begun * SECOND)
        calls = [ended_call(item, start, outcome, telling) for item, outcome in ended]
        judgement = self.judge.judge(calls, self.now)
        with self._ledger.write() as connection:
            changes = conditions.note(connection, judgement.events)
        self.noted += bool(changes)
        self.judge.noted(["open"], changes)
        return judgement

    def condition(self) -> Condition:
        return self._known()[1].get("open", Condition(deployment="open"))


def ended_call(item: str, begun: int, outcome: Outcome, telling: bool) -> EndedCall:
    return EndedCall(
        claim=a_claim(an_item(id=item), started_at=begun),
        deployment=OPEN,
        outcome=outcome,
        telling=telling,
        cancelled=False,
    )


@pytest.fixture
def settling(ledger: Ledger) -> Settling:
    return Settling(ledger)


def own(judgement: Judgement) -> list[bool]:
    return [verdict.own for verdict in judgement.verdicts]


def test_where_nobody_is_served_a_fault_is_nobody_s_and_a_few_hold_it_back(
    settling: Settling,
) -> None:
    judgement = settling(*((f"i-{n}", DOWN) for n in range(FAULTS)))
    assert own(judgement) == [False] * FAULTS
    assert settling.condition().held
    # All of the batch are settled as what it has come to.
    assert all(
        verdict.condition is not None and verdict.condition.held for verdict in judgement.verdicts
    )


def test_a_fault_while_others_are_served_in_the_same_batch_is_the_item_s(
    settling: Settling,
) -> None:
    assert own(settling(("good", ANSWER), ("poison", DOWN), ("good too", ANSWER))) == [
        False,
        True,
        False,
    ]
    assert settling.condition().code is None


def test_what_was_served_here_a_moment_ago_counts_although_it_was_not_written(
    settling: Settling,
) -> None:
    settling(("good", ANSWER))
    settling(("good", ANSWER))
    assert settling.noted == 1
    assert own(settling(("poison", DOWN), begun=1.5)) == [True]


def test_while_it_serves_next_to_nothing_is_written(settling: Settling) -> None:
    for _ in range(20):
        settling(("good", ANSWER))
    assert settling.noted == 1


@pytest.mark.parametrize("outcome", [Throttled(after=30), Unknown(kind="timeout", message="lost")])
def test_throttles_and_lost_replies_are_noted_and_nobody_s(
    settling: Settling, outcome: Outcome
) -> None:
    assert own(settling(("i", outcome))) == [False]
    assert settling.condition().faults == 1


def test_what_never_reached_the_deployment_says_nothing_of_it(settling: Settling) -> None:
    judgement = settling(*((f"i-{n}", DOWN) for n in range(FAULTS)), telling=False)
    assert judgement.events == {}
    assert settling.condition() == Condition(deployment="open")


def logged(act: Callable[[], object]) -> list[str]:
    with capture_logs() as lines:
        act()
    return [line["event"] for line in lines]


def test_each_change_of_state_is_one_line_and_no_call_is(settling: Settling) -> None:
    first = logged(lambda: settling(("a", DOWN)))
    more = logged(lambda: settling(("b", DOWN), ("c", DOWN)))
    stops = logged(lambda: settling(("d", DOWN), ("e", DOWN)))
    settling.now += 30 * SECOND
    again = logged(lambda: settling(("f", DOWN)))
    settling.now += 120 * SECOND
    back = logged(lambda: settling(("g", ANSWER)))
    goes_on = logged(lambda: settling(("h", ANSWER)))
    assert [first, more, stops, again, back, goes_on] == [
        ["deployment_fails"],
        [],
        ["deployment_held_back"],
        ["deployment_still_held_back"],
        ["deployment_serves_again"],
        [],
    ]
