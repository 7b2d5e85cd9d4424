"""What prompt caches served and saved, from the usage of calls alone."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tierqueue.ledger.accounting.spending import UsageCount
from tierqueue.operations.accounting.caching import cached
from tierqueue.router.outcome import Usage
from tierqueue.router.policy.policy import Policy, parse_policy

AT = datetime(2026, 11, 1, tzinfo=UTC)
POLICY = """
[deployments.best]
tier = "frontier"
profile = "anthropic"
model = "m"
context_window = 100000
prices = { input = "4", cache_read = "0.4", cache_write_5m = "5", output = "20" }
"""


def of(*usages: Usage, policy: Policy | None = None) -> Any:
    used = [
        UsageCount(key="best", simulated=False, deployment="best", usage=usage, calls=1)
        for usage in usages
    ]
    return cached(used, policy or parse_policy(POLICY, "test"), AT)


def test_a_prefix_that_is_written_once_and_read_twice_saves_what_it_was_cheaper() -> None:
    written = Usage(input_tokens=10, cache_write_5m_tokens=1_000, output_tokens=5)
    read = Usage(input_tokens=10, cache_read_tokens=1_000, output_tokens=5)
    (found,) = of(written, read, read)
    assert (found.input_tokens, found.cached_tokens, found.written_tokens) == (3_030, 2_000, 1_000)
    assert found.hit_rate == round(2_000 / 3_030, 4)
    assert found.saved == 2 * 1_000 * 3_600 - 1_000 * 1_000
    (alone,) = of(written)
    assert (alone.saved, alone.hit_rate) == (-1_000 * 1_000, 0.0)


def test_who_met_no_cache_is_not_told_of() -> None:
    assert of(Usage(input_tokens=10, output_tokens=5)) == []


def test_a_deployment_that_is_no_more_has_a_hit_rate_and_no_price() -> None:
    (found,) = of(Usage(cache_read_tokens=10), policy=parse_policy("", "test"))
    assert (found.hit_rate, found.saved) == (1.0, None)


@given(read=st.integers(0, 10**6), plain=st.integers(0, 10**6), written=st.integers(0, 10**6))
def test_what_was_saved_is_the_difference_of_the_prices(
    read: int, plain: int, written: int
) -> None:
    usage = Usage(input_tokens=plain, cache_read_tokens=read, cache_write_5m_tokens=written)
    for found in of(usage):
        assert found.saved == read * 3_600 - written * 1_000
