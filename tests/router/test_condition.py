"""A deployment's condition: what holds it back, who is on trial, and whose a fault is."""

from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierqueue.router.condition import (
    FAULTS,
    LONG_WAIT_SECONDS,
    LONGEST_HOLD,
    LONGEST_PAID_PAUSE,
    LONGEST_PAUSE,
    REFUSALS,
    Condition,
    Fault,
    ServedCall,
    after,
    its_own,
    seen_in,
)
from tierqueue.router.outcome import (
    NEEDS_SOMEBODY,
    Failed,
    Outcome,
    Rejected,
    Trouble,
    Unknown,
    Usage,
)

SECOND = 1_000_000
CLEAR = Condition(deployment="d")
TROUBLES: list[Trouble] = list(get_args(Trouble))


def fault(
    at: float,
    code: Trouble = "outage",
    item: str = "i",
    wait: float | None = None,
    begun: float | None = None,
) -> Fault:
    start, end = round((at if begun is None else begun) * SECOND), round(at * SECOND)
    return Fault(item=item, begun=start, at=end, code=code, detail="HTTP 503", after=wait)


def served(at: float, begun: float | None = None, item: str = "s") -> ServedCall:
    start = at if begun is None else begun
    return ServedCall(item=item, begun=round(start * SECOND), at=round(at * SECOND))


def down(at: float = 1.0, times: int = FAULTS, code: Trouble = "outage") -> Condition:
    condition = CLEAR
    for _ in range(times):
        condition = after(condition, fault(at, code))
    return condition


def test_a_clear_condition_lets_everybody_call() -> None:
    assert CLEAR.free(0)
    assert CLEAR.may_call("any", 0)
    assert not CLEAR.wants_probe(0)


@pytest.mark.parametrize("code", [code for code in TROUBLES if code != "throttled"])
def test_a_few_faults_in_a_row_hold_it_back_and_say_since_when_and_why(code: Trouble) -> None:
    few = REFUSALS if code in NEEDS_SOMEBODY or code == "reply_lost" else FAULTS
    few = 1 if code == "no_key" else few
    assert not down(times=few - 1, code=code).held
    condition = down(times=few, code=code)
    assert condition.held
    assert condition.unavailable
    assert (condition.code, condition.since, condition.faults) == (code, SECOND, few)
    assert condition.needs_somebody == (code in NEEDS_SOMEBODY)
    assert not condition.may_call("any", SECOND)


def test_an_answer_in_between_begins_the_row_anew() -> None:
    condition = CLEAR
    for at in range(3):
        for _ in range(FAULTS - 1):
            condition = after(condition, fault(at))
        condition = after(condition, served(at + 0.5))
    assert condition == replace(CLEAR, served_at=round(2.5 * SECOND))


def test_a_stated_wait_holds_it_back_at_once_and_for_as_long() -> None:
    for code in ("throttled", "outage"):
        condition = after(CLEAR, fault(1, code, wait=12))
        assert not condition.may_call("any", round(12.9 * SECOND))
        assert condition.wait(SECOND) == 12
        longer = after(condition, fault(2, code, wait=20))
        assert longer.wait(2 * SECOND) == 20
        shorter = after(condition, fault(2, code, wait=1))
        assert shorter.wait(2 * SECOND) == 11


def test_an_answer_to_an_earlier_call_does_not_lift_a_stated_wait() -> None:
    condition = after(CLEAR, fault(1, "throttled", wait=12))
    assert after(condition, served(3, begun=2)).wait(3 * SECOND) == 10
    assert after(condition, served(14, begun=13.5)).code is None


def test_after_one_throttling_everybody_goes_on_and_after_another_one_at_a_time() -> None:
    once = after(CLEAR, fault(1, "throttled", wait=2))
    assert once.may_call("any", 3 * SECOND)
    assert not once.unavailable
    twice = after(once, fault(4, "throttled", wait=2))
    assert not twice.may_call("any", 6 * SECOND)
    assert twice.wants_probe(6 * SECOND)


def test_one_item_at_a_time_is_on_trial_and_each_trial_that_fails_waits_longer() -> None:
    condition, waits = down(), []
    for _ in range(8):
        now = condition.until or 0
        waits.append((now - (condition.faulted_at or 0)) / SECOND)
        assert condition.wants_probe(now)
        condition = replace(condition, probe="p", probe_until=now + 60 * SECOND)
        assert not condition.wants_probe(now)
        assert condition.may_call("p", now)
        assert not condition.may_call("q", now)
        condition = after(condition, fault(now / SECOND + 0.1, item="p"))
        assert condition.probe is None
    assert waits == sorted(waits)
    assert max(waits) <= LONGEST_PAUSE


def test_a_trial_that_may_be_billed_waits_longer_in_the_end() -> None:
    condition = down(times=REFUSALS, code="reply_lost")
    for _ in range(8):
        assert condition.wait(condition.faulted_at or 0) <= LONGEST_PAID_PAUSE
        condition = after(condition, fault((condition.until or 0) / SECOND + 0.1, "reply_lost"))
    assert condition.wait(condition.faulted_at or 0) > LONGEST_PAUSE


def test_a_trial_that_is_never_heard_of_is_given_up() -> None:
    condition = down()
    now = condition.until or 0
    condition = replace(condition, probe="p", probe_until=now + 60 * SECOND)
    assert condition.wants_probe(now + 60 * SECOND)


def test_a_trial_that_is_served_clears_it_and_keeps_that_somebody_was_told() -> None:
    condition = replace(down(), probe="p", probe_until=99 * SECOND, told_at=7)
    cleared = after(condition, served(5, begun=4, item="p"))
    assert cleared == Condition(deployment="d", served_at=5 * SECOND, told_at=7)


def test_an_answer_to_a_call_from_before_the_trouble_does_not_clear_it() -> None:
    condition = after(down(at=10), served(12, begun=9))
    assert condition.held
    assert condition.served_at == 12 * SECOND


def test_an_answer_to_a_call_from_before_it_was_held_back_does_not_clear_it() -> None:
    # The row began long ago, with one fault that nobody's answer followed.
    condition = after(CLEAR, fault(1))
    for _ in range(FAULTS - 1):
        condition = after(condition, fault(20))
    late = after(condition, served(30, begun=19.9))
    assert late == replace(condition, served_at=30 * SECOND)
    begun = (condition.until or 0) / SECOND
    assert after(late, served(30, begun=begun)).code is None


def test_a_late_fault_does_not_take_a_trial_s_answer_its_word() -> None:
    condition = down()
    tried_at = (condition.until or 0) / SECOND
    condition = replace(condition, probe="p", probe_until=99 * SECOND)
    condition = after(condition, fault(tried_at + 1, begun=0.5))
    assert condition.probe == "p"
    assert after(condition, served(tried_at + 2, begun=tried_at, item="p")).code is None


def test_what_was_under_way_when_it_was_held_back_makes_no_pause_longer() -> None:
    condition = down()
    for _ in range(50):
        condition = after(condition, fault(1.1))
    # As late as they may come: some are waited for as long as a call may take.
    for late in range(1, 60):
        condition = after(condition, fault(late, begun=1))
    assert condition.rounds == 1
    assert condition.until == down().until


def test_a_fault_is_the_item_s_own_where_others_are_served_meanwhile() -> None:
    condition = after(CLEAR, served(5))
    assert its_own(condition, "poison", since=4 * SECOND)
    assert not its_own(condition, "poison", since=6 * SECOND)
    assert not its_own(CLEAR, "poison", since=0)


def test_a_fault_is_nobody_s_where_others_failed_since_the_last_answer() -> None:
    condition = after(after(CLEAR, served(5)), fault(6, item="other"))
    assert not its_own(condition, "i", since=4 * SECOND)
    assert its_own(condition, "other", since=4 * SECOND)


ITEMS = st.sampled_from(["a", "b", "poison"])
EVENTS = st.lists(
    st.one_of(
        st.builds(
            lambda gap, item, code, wait, draw, took: (gap, item, code, wait, draw, took),
            st.integers(0, 40 * SECOND),
            ITEMS,
            st.sampled_from(TROUBLES),
            st.none() | st.floats(allow_nan=True, allow_infinity=True),
            st.floats(0, 1, exclude_max=True),
            st.integers(0, 60 * SECOND),
        ),
        st.tuples(st.integers(0, 40 * SECOND), ITEMS, st.integers(0, 60 * SECOND)),
    ),
    max_size=40,
)


def played(events: list[tuple[Any, ...]]) -> tuple[Condition, int]:
    condition, now = CLEAR, 100 * SECOND
    for event in events:
        now += event[0]
        if len(event) == 3:
            condition = after(condition, ServedCall(item=event[1], begun=now - event[2], at=now))
        else:
            _, item, code, wait, draw, took = event
            told = {"code": code, "detail": "x", "after": wait, "draw": draw}
            condition = after(condition, Fault(item=item, begun=now - took, at=now, **told))
    return condition, now


@given(EVENTS)
def test_whatever_happens_nothing_is_held_back_for_ever(events: list[tuple[Any, ...]]) -> None:
    condition, now = played(events)
    later = now + round(LONGEST_HOLD * SECOND)
    assert condition.free(later) or condition.wants_probe(later)
    assert (condition.code is None) == (condition.faults == 0)


@given(EVENTS)
def test_whatever_happened_one_call_that_begins_later_and_is_served_clears_it(
    events: list[tuple[Any, ...]],
) -> None:
    condition, now = played(events)
    later = max(now, condition.until or 0) + 1
    cleared = after(condition, ServedCall(item="s", begun=later, at=later + 1))
    assert cleared == Condition(deployment="d", served_at=later + 1)


@given(EVENTS, ITEMS)
def test_where_nobody_is_served_a_fault_is_nobody_s(
    events: list[tuple[Any, ...]], item: str
) -> None:
    condition, _ = played([event for event in events if len(event) != 3])
    assert not its_own(condition, item, since=0)


@given(st.integers(1, 30))
def test_an_item_that_alone_fails_among_others_uses_up_its_calls(rounds: int) -> None:
    condition, own, ended = CLEAR, 0, None
    for number in range(rounds):
        begun = (10 * number + 1) * SECOND
        condition = after(condition, served(10 * number + 2))
        now = (10 * number + 3) * SECOND
        own += its_own(condition, "poison", since=begun if ended is None else ended)
        condition = after(condition, fault(10 * number + 3, item="poison"))
        ended = now
    assert own == rounds
    assert not condition.held


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Unknown(kind="unreadable_bill", message="d: no usage"), "unreadable_bill"),
        (Unknown(kind="timeout", message="d: no reply"), "reply_lost"),
        (Unknown(kind="gateway", message="d: HTTP 502"), "reply_lost"),
        (
            Rejected(reasons=(), usage=Usage(), model_served="tiny", reason="wrong_model"),
            "wrong_model",
        ),
        (Rejected(reasons=("too long",), usage=Usage(), model_served="m"), None),
        (Failed(kind="http_400", message="d: HTTP 400", transient=False), None),
    ],
)
def test_bills_that_cannot_be_true_and_other_models_are_the_deployments_fault(
    outcome: Outcome, code: Trouble | None
) -> None:
    seen = seen_in(outcome, "i", 0, SECOND, 0.0)
    assert isinstance(seen, Fault | ServedCall)
    assert (seen.code if isinstance(seen, Fault) else None) == code


@pytest.mark.parametrize("code", TROUBLES)
def test_a_clock_that_is_set_back_holds_nothing_back_for_longer(code: Trouble) -> None:
    condition = down(at=90_000.0, code=code)
    assert condition.wait(80_000 * SECOND) == 0
    assert condition.wants_probe(80_000 * SECOND) or condition.free(80_000 * SECOND)
    tried = replace(condition, probe="p", probe_until=80_030 * SECOND)
    assert tried.may_call("p", 80_000 * SECOND)
    assert after(tried, served(80_001, item="p")).code is None
    held_anew = after(tried, fault(80_001, code, item="p"))
    assert 0 < held_anew.wait(80_001 * SECOND) <= LONGEST_PAUSE


@pytest.mark.parametrize(("stated", "told"), [(12, False), (LONG_WAIT_SECONDS, False), (90, True)])
def test_a_stated_wait_of_over_a_minute_is_more_than_a_rate(stated: float, told: bool) -> None:
    condition = after(CLEAR, fault(1, "throttled", wait=stated))
    assert condition.lasting is told
    assert condition.unavailable is told
    # Everybody at once would only find out that it goes on: it is tried by one.
    now = round((2 + stated) * SECOND)
    assert (condition.free(now), condition.wants_probe(now)) == (not told, told)
    assert after(condition, served(2 + stated)).code is None
    assert not after(CLEAR, fault(1, "outage", wait=stated)).lasting


def test_throttling_that_no_trial_ends_lasts_and_an_answer_in_between_begins_anew() -> None:
    condition = after(CLEAR, fault(1, "throttled"))
    while not condition.lasting:
        now = (condition.until or 0) / SECOND
        assert now <= 1 + LONG_WAIT_SECONDS + LONGEST_PAUSE
        assert not condition.unavailable
        condition = after(condition, fault(now, "throttled", item="p"))
    assert condition.unavailable
    now = (condition.until or 0) / SECOND + 1
    again = after(after(condition, served(now)), fault(now + 1, "throttled"))
    assert not again.lasting
