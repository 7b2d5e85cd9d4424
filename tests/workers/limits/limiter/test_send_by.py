"""Until when a granted call may be sent: the travel of a limit per minute, else the lease alone."""

import time
from typing import Any

import pytest
import redis

from tierqueue.workers.limits.bounds import Bounds, SlotRequest
from tierqueue.workers.limits.limiter import Limiter

MINUTE = {"requests_per_minute": 600}
TOKENS = {"tokens_per_minute": 6_000, "token_burst": 1_000}


def good_for(valkey_socket: str, lease_seconds: float, **stated: Any) -> float:
    """Seconds for which a grant may be sent."""
    with redis.Redis.from_url(valkey_socket) as client:
        limiter = Limiter(client, "send-by", lease_seconds)
        before = time.monotonic()
        grant = limiter.grant(Bounds(deployment="d", tier="gpu", **stated), [SlotRequest("a", 1)])
        passed = time.monotonic() - before
    return grant.send_by - before - passed


@pytest.mark.parametrize("stated", [MINUTE, TOKENS, {**MINUTE, "in_flight": 4}])
def test_what_a_limit_per_minute_grants_has_to_leave_before_its_minute_is_wrong(
    valkey_socket: str, stated: dict[str, int]
) -> None:
    assert good_for(valkey_socket, 30.0, **stated) <= Limiter.travel


@pytest.mark.parametrize("stated", [{}, {"in_flight": 4}, {"tier_in_flight": 8}])
def test_without_one_a_call_may_leave_as_long_as_its_lease_is_surely_its_own(
    valkey_socket: str, stated: dict[str, int]
) -> None:
    """A slow start costs nobody a second grant; after a lease another worker may have the item."""
    assert Limiter.travel < good_for(valkey_socket, 30.0, **stated) <= 20.0


@pytest.mark.parametrize("stated", [{}, MINUTE, {"in_flight": 4}])
def test_no_grant_outlives_a_lease_that_is_shorter_than_the_travel(
    valkey_socket: str, stated: dict[str, int]
) -> None:
    assert good_for(valkey_socket, 3.0, **stated) <= 2.0
