"""The breaker of a process: what it lets through by what the ledger says of all workers."""

from dataclasses import replace

import pytest

from tierqueue.router.condition import FAULTS, Condition, Fault, after
from tierqueue.router.errors import SpendingRefused
from tierqueue.router.outcome import LOST_ON_THE_WAY, Outcome, Throttled, Unavailable, Unknown
from tierqueue.workers.limits.breaker import (
    BRIEF_SECONDS,
    EVERY_SECONDS,
    LONGEST,
    SETTLING,
    Breaker,
    Known,
    Restriction,
)

SECOND = 1_000_000
AHEAD = 7_000 * SECOND
"""The ledger's clock is not this machine's."""


class Ledger:
    """What the ledger says, its clock, and how often it was asked."""

    def __init__(self) -> None:
        self.now = 100.0
        self.known: dict[str, Condition] = {}
        self.asked = 0
        self.away = False

    def read(self) -> Known:
        self.asked += 1
        if self.away:
            raise ConnectionError
        return round(self.now * SECOND) + AHEAD, self.known

    def clock(self) -> float:
        return self.now

    def down(self, times: int = FAULTS) -> None:
        condition = Condition(deployment="d")
        for _ in range(times):
            at = round(self.now * SECOND) + AHEAD
            condition = after(
                condition, Fault(item="i", begun=at, at=at, code="outage", detail="503")
            )
        self.known["d"] = condition


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def breaker(ledger: Ledger) -> Breaker:
    return Breaker(ledger.read, ledger.clock)


def test_where_nothing_is_known_all_may_call(breaker: Breaker) -> None:
    assert breaker.held("d", ["i"]) is None
    assert breaker.clear("d")
    assert breaker.open() == []


def test_what_another_process_saw_holds_this_one_back_within_half_a_second(
    ledger: Ledger, breaker: Breaker
) -> None:
    assert breaker.held("d", ["i"]) is None
    ledger.down()
    assert breaker.held("d", ["i"]) is None
    assert ledger.asked == 1
    ledger.now += EVERY_SECONDS
    held = breaker.held("d", ["i"])
    assert held is not None
    assert (held.code, held.probe) == ("outage", None)
    assert EVERY_SECONDS <= held.wait <= LONGEST
    assert breaker.open() == ["d"]
    assert breaker.held("other", ["i"]) is None


def test_a_few_faults_hold_nobody_back(ledger: Ledger, breaker: Breaker) -> None:
    ledger.down(FAULTS - 1)
    assert breaker.held("d", ["i"]) is None
    assert not breaker.clear("d")


def test_the_item_on_trial_alone_may_call_and_is_known_at_once(
    ledger: Ledger, breaker: Breaker
) -> None:
    ledger.down()
    ledger.now += 5
    assert breaker.held("d", ["i", "p"]) == Restriction("outage", EVERY_SECONDS)
    ledger.now += 0.05
    until = round(ledger.now * SECOND) + AHEAD + 60 * SECOND
    ledger.known["d"] = replace(ledger.known["d"], probe="p", probe_until=until)
    assert breaker.held("d", ["i", "p"]) == Restriction("outage", 0.0, "p")
    assert breaker.held("d", ["i"]) == Restriction("outage", EVERY_SECONDS)


def test_an_end_of_the_trouble_is_known_at_once(ledger: Ledger, breaker: Breaker) -> None:
    ledger.down()
    assert breaker.held("d", ["i"]) is not None
    ledger.now += 0.05
    ledger.known["d"] = Condition(deployment="d", served_at=1)
    assert breaker.held("d", ["i"]) is None


DOWN = Unavailable(kind="unauthorized", message="HTTP 401")


@pytest.mark.parametrize(("bad", "code"), [(DOWN, "unauthorized"), (Throttled(), "throttled")])
def test_a_call_that_ended_badly_here_stops_its_deployment_until_it_is_settled(
    ledger: Ledger, breaker: Breaker, bad: Outcome, code: str
) -> None:
    breaker.ended("d", bad)
    assert breaker.held("d", ["i"]) == Restriction(code, BRIEF_SECONDS)
    assert breaker.held("other", ["i"]) is None
    breaker.settled(["d"], [])
    assert breaker.held("d", ["i"]) is None
    breaker.ended("d", bad)
    ledger.now += SETTLING
    assert breaker.held("d", ["i"]) is None


@pytest.mark.parametrize("kind", sorted(LOST_ON_THE_WAY))
def test_a_reply_lost_on_the_way_stops_its_deployment_too(breaker: Breaker, kind: str) -> None:
    breaker.ended("d", Unknown(kind=kind, message="HTTP 502"))
    assert breaker.held("d", ["i"]) == Restriction("reply_lost", BRIEF_SECONDS)


def test_a_call_that_took_too_long_stops_nothing_by_itself(breaker: Breaker) -> None:
    breaker.ended("d", Unknown(kind="timeout", message="no reply"))
    assert breaker.held("d", ["i"]) is None


def test_what_this_process_has_written_is_known_before_it_is_read(
    ledger: Ledger, breaker: Breaker
) -> None:
    assert breaker.held("d", ["i"]) is None
    ledger.down()
    breaker.settled(["d"], [ledger.known["d"]])
    assert breaker.held("d", ["i"]) is not None


def test_without_an_answer_from_the_ledger_nothing_is_called(
    ledger: Ledger, breaker: Breaker
) -> None:
    ledger.away = True
    with pytest.raises(SpendingRefused):
        breaker.held("d", ["i"])
    ledger.away = False
    assert breaker.held("d", ["i"]) is None
