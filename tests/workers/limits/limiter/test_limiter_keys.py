"""What somebody else left under the limiter's keys frees nobody and stops nobody for good."""

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from tests.workers.limits.limiter.limiter_twin import LEASE_SECONDS, granted
from tierqueue.workers.limits.bounds import RATE_FORGOTTEN, Bounds, SlotRequest
from tierqueue.workers.limits.limiter import Limiter

names = itertools.count()


@pytest.fixture
def client(valkey_socket: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey_socket) as client:
        yield client


def _bounds(**numbers: Any) -> Bounds:
    return Bounds(**{"deployment": "d", "tier": "frontier", **numbers})


def _calls(n: int) -> list[SlotRequest]:
    return [SlotRequest(f"call-{next(names)}", 0) for _ in range(n)]


_OF_ANOTHER_TYPE: dict[str, Callable[[redis.Redis, str], object]] = {
    "string": lambda client, key: client.set(key, "x"),
    "list": lambda client, key: client.rpush(key, "x"),
    "hash": lambda client, key: client.hset(key, "x", "y"),
    "sorted set": lambda client, key: client.zadd(key, {"x": 1}),
}


@pytest.mark.parametrize("left", _OF_ANOTHER_TYPE.values(), ids=_OF_ANOTHER_TYPE)
@pytest.mark.parametrize("renewed", [False, True], ids=["granted", "renewed"])
def test_what_is_of_another_type_is_as_if_it_were_not_there(
    client: redis.Redis, left: Callable[[redis.Redis, str], object], renewed: bool
) -> None:
    prefix = f"odd-{next(names)}"
    limiter = Limiter(client, prefix, LEASE_SECONDS)
    stated = _bounds(in_flight=2, tier_in_flight=2)
    for key in ("windows:d", "calls:d", "tier-calls:frontier", "known:d", "tier-known:frontier"):
        left(client, f"{prefix}:{key}")
    if renewed:
        assert limiter.renew("d", "frontier", ["a", "b"])
        assert granted(limiter, stated, _calls(2)).granted == ()
    else:
        assert len(granted(limiter, stated, _calls(3)).granted) == 2
    counted = limiter.grant(_bounds(requests_per_minute=6000), _calls(1))
    assert (counted.granted, counted.full) == ((), (RATE_FORGOTTEN,))
    assert counted.retry_after <= Limiter.travel


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e300", "x", ""])
@pytest.mark.parametrize("field", ["from", "process"])
def test_windows_whose_beginning_cannot_be_read_are_forgotten(
    client: redis.Redis, field: str, number: str
) -> None:
    limiter, stated = (
        Limiter(client, f"odd-{next(names)}", LEASE_SECONDS),
        _bounds(requests_per_minute=9),
    )
    assert granted(limiter, stated, _calls(1)).granted
    client.hset(f"{limiter.keys.prefix}:windows:d", field, number)
    assert limiter.grant(stated, _calls(1)).full == (RATE_FORGOTTEN,)


@pytest.mark.parametrize("number", ["nan 1 1", "1e300 0 0", "-5 0 0", "1", "x", ""])
def test_what_is_no_count_counts_nothing(client: redis.Redis, number: str) -> None:
    limiter, stated = (
        Limiter(client, f"odd-{next(names)}", LEASE_SECONDS),
        _bounds(requests_per_minute=2),
    )
    assert granted(limiter, stated, _calls(1)).granted
    soon = round((time.time() + 30) * 4)
    client.hset(f"{limiter.keys.prefix}:windows:d", f"s{soon}", number)
    assert len(limiter.grant(stated, _calls(3)).granted) == 1


@pytest.mark.parametrize("ends", [float("inf"), 1e18])
def test_a_slot_that_would_never_end_counts_no_call(client: redis.Redis, ends: float) -> None:
    prefix = f"odd-{next(names)}"
    client.zadd(f"{prefix}:calls:d", {"a": ends, "b": ends})
    limiter = Limiter(client, prefix, LEASE_SECONDS)
    assert len(granted(limiter, _bounds(in_flight=2), _calls(2)).granted) == 2


@pytest.mark.parametrize("number", ["nan", "inf", "1e300", "x", ""])
@pytest.mark.parametrize("field", ["seen", "from"])
def test_a_memory_that_cannot_be_read_is_none_and_lasts_a_lease(
    client: redis.Redis, field: str, number: str
) -> None:
    prefix = f"odd-{next(names)}"
    limiter, stated = Limiter(client, prefix, LEASE_SECONDS), _bounds(in_flight=2)
    assert granted(limiter, stated, _calls(1)).granted
    client.hset(f"{prefix}:known:d", field, number)
    forgot = limiter.grant(stated, _calls(1))
    assert (forgot.granted, forgot.busy) == ((), True)
    assert forgot.retry_after <= LEASE_SECONDS
