"""What calls that ended give back of their bounds, in every dimension, and what they do not."""

from collections.abc import Iterator

import pytest
import redis

from tests.workers.limits.limiter.limiter_twin import LEASE_SECONDS, Bench, in_memory, on_redis
from tests.workers.limits.limiter.test_limiter import bounds, calls
from tierqueue.workers.limits.bounds import CallUsage, SlotRequest
from tierqueue.workers.limits.limiter import CHECK_AGAIN_SECONDS, Limiter


@pytest.fixture
def client(valkey_socket: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey_socket) as client:
        yield client


@pytest.fixture(params=["lua", "twin"])
def bench(request: pytest.FixtureRequest, client: redis.Redis) -> Bench:
    return in_memory() if request.param == "twin" else on_redis(client)


def test_a_call_that_has_ended_leaves_the_window_a_minute_after_it_came(bench: Bench) -> None:
    stated = bounds(requests_per_minute=2)
    wanted = calls(2)
    bench.ended(stated, bench.grant(stated, *wanted), wanted, (0, 0))
    bench.later(59.9)
    assert bench.grant(stated, *calls(1)).granted == ()
    bench.later(0.5)
    assert len(bench.grant(stated, *calls(3)).granted) == 2


def test_a_call_counts_from_when_its_end_was_seen_and_not_from_when_it_was_told(
    bench: Bench,
) -> None:
    stated = bounds(requests_per_minute=2, tokens_per_minute=100)
    wanted = [SlotRequest("one", 50, 25), SlotRequest("two", 50, 25)]
    slots = bench.grant(stated, *wanted).slots(wanted)
    bench.later(4)
    ended = [CallUsage(slot, (25, 25), over=slot.asked + 1) for slot in slots]
    bench.limiter.release_ended(stated, ended)
    bench.later(56.9)
    assert bench.grant(stated, *calls(1, 1)).granted == ()
    bench.later(0.4)
    assert len(bench.grant(stated, *calls(3, 30)).granted) == 2


def test_what_a_call_did_not_use_of_its_bound_is_free_at_once(bench: Bench) -> None:
    stated = bounds(tokens_per_minute=1_000)
    first, second = [SlotRequest("first", 900, 500)], [SlotRequest("second", 900, 500)]
    grant = bench.grant(stated, *first)
    assert bench.grant(stated, *second).full == ("tokens_per_minute",)
    bench.ended(stated, grant, first, (60, 40))
    assert bench.grant(stated, *second).granted == ("second",)
    assert bench.grant(stated, *calls(1, 1)).full == ("tokens_per_minute",)


def test_who_waits_for_tokens_of_calls_granted_just_now_looks_again_soon(bench: Bench) -> None:
    stated = bounds(tokens_per_minute=1_000)
    grant = bench.grant(stated, SlotRequest("first", 900, 500), SlotRequest("second", 900, 500))
    assert (len(grant.granted), grant.retry_after) == (1, CHECK_AGAIN_SECONDS)


@pytest.mark.parametrize("used", [None, (0, 0)], ids=["lost", "told twice"])
def test_a_bound_comes_back_once_and_never_where_the_end_is_not_known(
    bench: Bench, used: tuple[int, int] | None
) -> None:
    stated = bounds(tokens_per_minute=1_000)
    one, other = [SlotRequest("one", 400, 200)], [SlotRequest("other", 400, 200)]
    grant = bench.grant(stated, *one)
    bench.grant(stated, *other)
    for _ in range(2):
        bench.ended(stated, grant, one, used)
    left = 200 if used is None else 600
    assert bench.grant(stated, *calls(1, left + 1)).granted == ()
    assert bench.grant(stated, *calls(1, left)).granted


def test_slots_of_killed_workers_do_not_pile_up_where_only_a_rate_is_stated(
    client: redis.Redis,
) -> None:
    bench, stated = on_redis(client), bounds(requests_per_minute=600)
    bench.grant(stated, *calls(5))
    bench.later(LEASE_SECONDS + 1)
    bench.grant(stated, *calls(1))
    assert isinstance(bench.limiter, Limiter)
    assert client.zcard(f"{bench.limiter.keys.prefix}:calls:d") == 1


def test_however_many_calls_end_at_once_each_gives_its_slots_back(bench: Bench) -> None:
    stated = bounds(in_flight=2_500, tier_in_flight=2_500)
    wanted = calls(2_500)
    bench.ended(stated, bench.grant(stated, *wanted), wanted, (0, 0))
    assert len(bench.grant(stated, *calls(2_500)).granted) == 2_500


def test_a_slot_that_lapsed_in_the_deployment_alone_comes_back_to_the_tier(
    client: redis.Redis,
) -> None:
    bench = on_redis(client)
    assert isinstance(bench.limiter, Limiter)
    stated = bounds(in_flight=2, tier_in_flight=2)
    wanted = calls(2)
    grant = bench.grant(stated, *wanted)
    own = bench.limiter.keys.slots(stated.deployment, stated.tier)[0]
    assert client.zrem(own, grant.granted[0]) == 1
    bench.ended(stated, grant, wanted, (0, 0))
    assert len(bench.grant(stated, *calls(2)).granted) == 2


def test_a_call_that_is_told_twice_at_once_gives_back_once(client: redis.Redis) -> None:
    bench = on_redis(client)
    stated = bounds(in_flight=9, tier_in_flight=9, tokens_per_minute=300)
    wanted = calls(3, 100)
    grant = bench.grant(stated, *wanted)
    [slot, *_] = grant.slots(wanted)
    told = CallUsage(slot, sent=False)
    bench.limiter.release_ended(stated, [told, told])
    assert len(bench.grant(stated, *calls(2, 100)).granted) == 1


def test_what_was_never_sent_counts_nowhere(client: redis.Redis) -> None:
    bench, stated = on_redis(client), bounds(requests_per_minute=1, requests_per_day=1)
    [want] = calls(1)
    grant = bench.grant(stated, want)
    assert bench.grant(stated, *calls(1)).granted == ()
    bench.limiter.release_ended(
        stated, [CallUsage(slot, sent=False) for slot in grant.slots([want])]
    )
    assert bench.grant(stated, *calls(1)).granted


def test_input_and_output_are_bounded_each_by_itself(bench: Bench) -> None:
    stated = bounds(input_tokens_per_minute=1_000, output_tokens_per_minute=100)
    assert bench.grant(stated, SlotRequest("a", 560, 60)).granted
    assert bench.grant(stated, SlotRequest("b", 90, 50)).full == ("output_tokens_per_minute",)
    assert bench.grant(stated, SlotRequest("c", 540, 10)).full == ("input_tokens_per_minute",)
    assert bench.grant(stated, SlotRequest("d", 500, 10)).granted == ("d",)
    assert bench.grant(stated, SlotRequest("e", 1_200, 1)).never == ("e",)


def test_the_requests_of_a_day_last_for_a_day(client: redis.Redis) -> None:
    bench, stated = on_redis(client), bounds(requests_per_day=3)
    assert len(bench.grant(stated, *calls(5)).granted) == 3
    bench.later(3_000)
    full = bench.grant(stated, *calls(1))
    assert (full.full, full.retry_after) == (("requests_per_day",), 60.0)
    for _ in range(24):
        bench.later(3_500)
        full = bench.grant(stated, *calls(1))
    assert len(bench.grant(stated, *calls(2)).granted) + len(full.granted) == 3
