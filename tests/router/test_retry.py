"""After a call that brought no answer: again when, or the end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierqueue.router.errors import BY_REASON
from tierqueue.router.outcome import LOST_ON_THE_WAY, Failed, Throttled, Unknown
from tierqueue.router.policy.tables import RetryPolicy
from tierqueue.router.retry import (
    LONGEST_WAIT,
    End,
    Retry,
    after_failure,
    after_lost_claim,
    after_throttle,
    after_unknown,
)

POLICY = RetryPolicy(calls=4, base=2.0, cap=5.0, poison=3)
PAYS_TWICE = RetryPolicy(calls=4, unknown="retry")
BUSY = Failed(kind="http_503", message="overloaded", transient=True)
REFUSED = Failed(kind="http_400", message="bad request", transient=False)
draws = st.floats(min_value=0, max_value=1, exclude_max=True)
counts = st.integers(1, 10_000)


def _reason(decision: Retry | End) -> str | None:
    return decision.reason if isinstance(decision, End) else None


@pytest.mark.parametrize(("calls", "most"), [(1, 2.0), (2, 4.0), (3, 5.0)])
def test_a_transient_failure_is_tried_again_with_full_jitter(calls: int, most: float) -> None:
    assert after_failure(BUSY, calls, POLICY, 0.0) == Retry(0.0)
    assert after_failure(BUSY, calls, POLICY, 0.5) == Retry(most / 2)


def test_the_last_call_of_the_budget_is_the_last() -> None:
    end = after_failure(BUSY, 4, POLICY, 0.5)
    assert isinstance(end, End)
    assert end.reason == "exhausted"
    assert "http_503: overloaded" in end.message
    assert end.fields["last"] == {"kind": "http_503", "message": "overloaded"}


def test_a_permanent_failure_ends_at_the_first_call_and_is_named() -> None:
    end = after_failure(REFUSED, 1, POLICY, 0.0)
    assert _reason(end) == "refused"
    assert isinstance(end, End)
    assert "http_400: bad request" in end.message


@given(counts, draws)
def test_no_backoff_is_longer_than_the_cap_however_many_calls(calls: int, draw: float) -> None:
    decision = after_failure(BUSY, calls, RetryPolicy(calls=100_000, cap=5.0), draw)
    assert isinstance(decision, Retry)
    assert 0 <= decision.delay < 5.0


@given(st.floats(min_value=0, max_value=86_400), counts, draws)
def test_a_retry_after_of_up_to_a_day_is_never_cut_short(
    after: float, throttles: int, draw: float
) -> None:
    assert after_throttle(Throttled(after=after), throttles, POLICY, draw).delay >= after


@given(st.floats(), counts, draws)
def test_no_retry_after_makes_anything_sleep_longer_than_a_day(
    after: float, throttles: int, draw: float
) -> None:
    delay = after_throttle(Throttled(after=after), throttles, POLICY, draw).delay
    assert 0 <= delay <= LONGEST_WAIT + POLICY.base


@given(st.sampled_from([None, float("nan"), float("inf"), -1.0]), counts, draws)
def test_a_throttle_without_a_usable_retry_after_backs_off_at_least_half(
    after: float | None, throttles: int, draw: float
) -> None:
    delay = after_throttle(Throttled(after=after), throttles, POLICY, draw).delay
    assert POLICY.base / 2 <= delay <= POLICY.cap


NEVER_TWICE = RetryPolicy(calls=4, unknown="dead_letter")
OURS = ["drain", "lost_lease", "unexpected", "internal_error"]


def _after(kind: str, policy: RetryPolicy, calls: int = 1, **known: bool) -> Retry | End:
    lost = Unknown(kind=kind, message="d: no reply")
    return after_unknown(lost, policy, calls, 0.5, **{"metered": True, **known})


@pytest.mark.parametrize("kind", sorted(LOST_ON_THE_WAY))
def test_a_reply_that_the_provider_lost_is_paid_for_again_within_the_budget(kind: str) -> None:
    assert _after(kind, POLICY) == Retry(1.0)
    assert _reason(_after(kind, POLICY, calls=4)) == "unknown"


@pytest.mark.parametrize("kind", ["timeout", "unreadable_bill", *OURS])
def test_a_call_that_was_served_or_that_we_ended_is_not_paid_for_again(kind: str) -> None:
    assert _reason(_after(kind, POLICY)) == "unknown"
    assert _after(kind, PAYS_TWICE) == Retry(0.5)


def test_a_time_limit_is_nobodys_fault_where_nobody_is_served() -> None:
    assert _after("timeout", POLICY, outage=True) == Retry(1.0)
    assert _reason(_after("timeout", POLICY, calls=4, outage=True)) == "unknown"
    assert _reason(_after("unreadable_bill", POLICY, outage=True)) == "unknown"


@given(
    st.sampled_from([*LOST_ON_THE_WAY, "timeout", "unreadable_bill", *OURS]), counts, st.booleans()
)
def test_a_policy_that_never_pays_twice_does_not_whatever_happened(
    kind: str, calls: int, outage: bool
) -> None:
    assert _reason(_after(kind, NEVER_TWICE, calls, outage=outage)) == "unknown"


def test_a_policy_that_pays_twice_does_so_within_the_budget() -> None:
    assert _after("timeout", PAYS_TWICE, 3) == Retry(2.0)
    assert _reason(_after("timeout", PAYS_TWICE, 4)) == "unknown"


def test_a_lost_reply_of_our_own_engine_is_tried_again_within_the_budget() -> None:
    assert _after("timeout", POLICY, 3, metered=False) == Retry(2.5)
    assert _reason(_after("timeout", POLICY, 4, metered=False)) == "exhausted"


def test_an_item_that_loses_its_workers_is_poison_at_the_last_allowed() -> None:
    assert after_lost_claim(1, POLICY, 0.5) == Retry(1.0)
    assert after_lost_claim(2, POLICY, 0.5) == Retry(2.0)
    assert _reason(after_lost_claim(3, POLICY, 0.5)) == "poison"


def test_a_worker_lost_during_a_paid_call_leaves_an_unknown_charge() -> None:
    assert _reason(after_lost_claim(1, POLICY, 0.5, paid_call_begun=True)) == "unknown"
    assert _reason(after_lost_claim(1, NEVER_TWICE, 0.5, paid_call_begun=True)) == "unknown"
    assert after_lost_claim(1, PAYS_TWICE, 0.5, paid_call_begun=True) == Retry(0.5)
    assert _reason(after_lost_claim(3, PAYS_TWICE, 0.5, paid_call_begun=True)) == "poison"


def test_every_end_has_a_declared_reason() -> None:
    ends = [
        after_failure(REFUSED, 1, POLICY, 0.0),
        _after("gateway", POLICY, 4),
        _after("gateway", POLICY, 4, metered=False),
        after_lost_claim(3, POLICY, 0.0),
    ]
    assert {_reason(end) for end in ends} <= set(BY_REASON)
