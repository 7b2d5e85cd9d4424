"""What the limiter learns from a provider: its stated limits, and the rate at which it refuses."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import redis

from tests.workers.limits.limiter.limiter_twin import Bench, on_redis
from tests.workers.limits.limiter.test_limiter import bounds, calls
from tierqueue.router.outcome import Dimension, PerMinute
from tierqueue.workers.limits.bounds import Bounds, CallUsage, Grant, SlotRequest
from tierqueue.workers.limits.limiter import Limiter


@pytest.fixture
def client(valkey_socket: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey_socket) as client:
        yield client


@pytest.fixture
def bench(client: redis.Redis) -> Bench:
    bench = on_redis(client)
    # Counted for longer than a minute.
    bench.grant(unstated(), *calls(1))
    bench.later(100)
    return bench


def unstated(**numbers: Any) -> Bounds:
    return bounds(counted=True, **numbers)


def limiter_of(bench: Bench) -> Limiter:
    assert isinstance(bench.limiter, Limiter)
    return bench.limiter


def learned_of(bench: Bench, stated: Bounds | None = None) -> PerMinute:
    """What any other worker would see now."""
    stated = stated or unstated()
    looks = [SlotRequest("looks", 0)]
    slots = bench.grant(stated, *looks).slots(looks)
    bench.limiter.release_ended(stated, [CallUsage(slot, sent=False) for slot in slots])
    return limiter_of(bench).seen["d"].learned


def refused(
    bench: Bench,
    stated: Bounds,
    grant: Grant,
    wanted: Sequence[SlotRequest],
    of: Dimension = "requests",
) -> None:
    ids = {want.id for want in wanted}
    ended = [CallUsage(slot, refused=of) for slot in grant.slots(wanted) if slot.id in ids]
    assert bench.limiter.release_ended(stated, ended)


def served(bench: Bench, stated: Bounds, n: int, tokens: int = 0) -> None:
    wanted = calls(n, tokens)
    grant = bench.grant(stated, *wanted)
    assert len(grant.granted) == n
    bench.ended(stated, grant, wanted, (tokens, 0))


def throttled(bench: Bench, stated: Bounds, of: Dimension = "requests", tokens: int = 0) -> None:
    wanted = calls(1, tokens)
    refused(bench, stated, bench.grant(stated, *wanted), wanted, of)


def test_what_a_provider_states_bounds_all_workers_from_the_next_grant_on(bench: Bench) -> None:
    limiter_of(bench).learned.note_stated("d", PerMinute(requests=5))
    assert len(bench.grant(unstated(), *calls(9)).granted) == 5
    assert bench.grant(unstated(), *calls(1)).full == ("requests_per_minute",)


def test_what_a_provider_states_never_lifts_the_stated_limit(bench: Bench) -> None:
    limiter_of(bench).learned.note_stated("d", PerMinute(requests=500, tokens=10**12))
    stated = bounds(requests_per_minute=7)
    assert len(bench.grant(stated, *calls(9)).granted) == 7


def test_what_a_provider_states_lower_or_not_at_all_any_more_counts_at_once(bench: Bench) -> None:
    limiter = limiter_of(bench)
    limiter.learned.note_stated("d", PerMinute(requests=50, tokens=900))
    limiter.learned.note_stated("d", PerMinute(requests=5))
    assert learned_of(bench) == PerMinute(requests=5)


def found_at(bench: Bench, stated: Bounds, served_before: int) -> None:
    """The provider refuses twice after so many calls of a minute."""
    for _ in range(2):
        served(bench, stated, served_before)
        throttled(bench, stated)
        bench.later(61)


def test_without_any_limit_the_rate_at_which_it_refuses_twice_is_found(bench: Bench) -> None:
    served(bench, unstated(), 200)
    throttled(bench, unstated())
    assert learned_of(bench) == PerMinute()
    bench.later(61)
    served(bench, unstated(), 200)
    throttled(bench, unstated())
    assert learned_of(bench) == PerMinute(requests=200)
    assert bench.grant(unstated(), *calls(1)).full == ("requests_per_minute",)


@pytest.mark.parametrize("limit", [4, 10, 40])
def test_a_low_limit_is_found_as_a_high_one_is(bench: Bench, limit: int) -> None:
    found_at(bench, unstated(), limit)
    assert learned_of(bench) == PerMinute(requests=limit)


def test_a_call_that_was_refused_counts_nowhere(bench: Bench) -> None:
    stated = bounds(requests_per_minute=5, requests_per_day=5, tokens_per_minute=500)
    for of in ("requests", "tokens"):
        wanted = calls(5, 100)
        grant = bench.grant(stated, *wanted)
        assert len(grant.granted) == 5
        refused(bench, stated, grant, wanted, of)
    assert len(bench.grant(stated, *calls(9, 100)).granted) == 5


def test_one_refusal_among_few_calls_says_nothing(bench: Bench) -> None:
    for _ in range(3):
        served(bench, unstated(), 3)
        throttled(bench, unstated())
        bench.later(61)
    assert learned_of(bench) == PerMinute()


def test_refusals_that_are_not_alike_say_nothing(bench: Bench) -> None:
    for calls_before in (8, 40, 12, 90, 20):
        served(bench, unstated(), calls_before)
        throttled(bench, unstated())
        bench.later(61)
    assert learned_of(bench) == PerMinute()


def test_many_refusals_of_one_moment_are_one(bench: Bench) -> None:
    served(bench, unstated(), 6)
    wanted = calls(20)
    grant = bench.grant(unstated(), *wanted)
    for want in wanted:
        refused(bench, unstated(), grant, [want])
    bench.later(5)
    throttled(bench, unstated())
    assert learned_of(bench) == PerMinute()


def test_calls_that_were_under_way_show_better_how_much_was_used(bench: Bench) -> None:
    for _ in range(2):
        wanted = calls(50)
        grant = bench.grant(unstated(), *wanted)
        taken, others = grant.slots(wanted)[:40], wanted[40:]
        for want in others[:5]:
            refused(bench, unstated(), grant, [want])
        assert bench.limiter.release_ended(unstated(), [CallUsage(slot, (0, 0)) for slot in taken])
        for want in others[5:]:
            refused(bench, unstated(), grant, [want])
        bench.later(61)
    assert learned_of(bench).requests == 40


def test_the_refused_rate_is_come_back_to_after_2_4_8_and_16_minutes(bench: Bench) -> None:
    found_at(bench, unstated(), 200)
    bench.later(-61)
    for minutes in (2, 4, 8, 16, 16):
        bench.later(minutes * 60 - 1)
        assert learned_of(bench).requests == 200
        bench.later(1)
        assert learned_of(bench).requests == 201
        served(bench, unstated(), 200)
        throttled(bench, unstated())
        assert learned_of(bench).requests == 200


def test_past_where_it_was_refused_it_climbs_slowly_at_first(bench: Bench) -> None:
    found_at(bench, unstated(), 200)
    bench.later(-61)
    climbed = []
    for seconds in (120, 60, 120, 420):
        bench.later(seconds)
        climbed.append(learned_of(bench).requests)
    assert climbed == [201, 201, 222, 1001]


def test_refused_again_where_it_was_kept_it_is_kept_a_little_lower(bench: Bench) -> None:
    found_at(bench, unstated(), 200)
    served(bench, unstated(), 199)
    throttled(bench, unstated())
    assert learned_of(bench).requests == 196


def test_the_stated_limit_is_not_passed_however_far_it_has_climbed(bench: Bench) -> None:
    stated = bounds(requests_per_minute=100)
    bench.grant(stated, *calls(1))
    bench.later(100)
    found_at(bench, stated, 80)
    bench.later(3000)
    assert len(bench.grant(stated, *calls(150)).granted) == 100


def test_a_limit_that_was_lowered_far_is_found(bench: Bench) -> None:
    found_at(bench, unstated(), 600)
    found_at(bench, unstated(), 300)
    assert learned_of(bench).requests == 300


def test_refusals_by_chance_leave_the_rate_where_it_is(bench: Bench) -> None:
    found_at(bench, unstated(), 200)
    for some in (90, 30, 60, 10, 120, 20):
        served(bench, unstated(), some)
        throttled(bench, unstated())
        bench.later(61)
    assert (learned_of(bench).requests or 0) >= 200


def test_tokens_are_learned_where_the_refusal_is_of_tokens(bench: Bench) -> None:
    for _ in range(2):
        served(bench, unstated(), 200, tokens=100)
        throttled(bench, unstated(), "tokens", tokens=100)
        bench.later(61)
    bench.later(-61)
    assert learned_of(bench) == PerMinute(tokens=20_000)


def test_one_call_alone_may_go_whatever_was_learned(bench: Bench) -> None:
    limiter_of(bench).learned.note_stated("d", PerMinute(requests=1, tokens=10))
    big = SlotRequest("big", 5_000)
    assert bench.grant(unstated(), big, *calls(1, 5)).granted == ("big",)
    waits = bench.grant(unstated(), SlotRequest("next", 5_000))
    assert waits.granted == ()
    bench.later(200)
    assert bench.grant(unstated(), SlotRequest("next", 5_000)).granted == ("next",)


def test_a_trial_goes_whatever_was_found_and_its_refusal_lowers_nothing(bench: Bench) -> None:
    found_at(bench, unstated(), 5)
    served(bench, unstated(), 5)
    assert bench.grant(unstated(), *calls(1)).granted == ()
    trial, wanted = unstated(trial=True), calls(1)
    grant = bench.grant(trial, *wanted)
    assert len(grant.granted) == 1
    refused(bench, trial, grant, wanted)
    assert learned_of(bench) == PerMinute(requests=5)
    stated = bounds(requests_per_minute=4, trial=True)
    assert bench.grant(stated, *calls(1)).granted == ()


def test_a_trial_waits_where_the_provider_says_that_it_would_be_refused(bench: Bench) -> None:
    limiter_of(bench).learned.note_stated("d", PerMinute(requests=3))
    served(bench, unstated(), 3)
    assert bench.grant(unstated(trial=True), *calls(1)).full == ("requests_per_minute",)


def test_redis_that_forgot_all_has_learned_nothing(bench: Bench, client: redis.Redis) -> None:
    limiter = limiter_of(bench)
    limiter.learned.note_stated("d", PerMinute(requests=3))
    client.delete(f"{limiter.keys.prefix}:learned:d")
    assert learned_of(bench) == PerMinute()


@pytest.mark.parametrize("number", ["nan", "inf", "-5", "0", "1e300", "x", ""])
@pytest.mark.parametrize("field", ["told1", "low1", "was1", "cut1", "tries1", "once1", "seen1"])
def test_what_somebody_else_left_of_what_was_learned_stops_nobody(
    bench: Bench, client: redis.Redis, field: str, number: str
) -> None:
    key = f"{limiter_of(bench).keys.prefix}:learned:d"
    client.hset(key, mapping={"low1": "100", "was1": "200", "cut1": str(bench.now), field: number})
    assert len(bench.grant(unstated(), *calls(60)).granted) == 60


def test_a_cut_that_lies_ahead_counts_nothing(bench: Bench, client: redis.Redis) -> None:
    key = f"{limiter_of(bench).keys.prefix}:learned:d"
    client.hset(key, mapping={"low1": "1", "was1": "1", "cut1": str(bench.now + 10**9)})
    assert learned_of(bench) == PerMinute()


def test_what_is_of_another_type_is_as_if_nothing_had_been_learned(
    bench: Bench, client: redis.Redis
) -> None:
    client.set(f"{limiter_of(bench).keys.prefix}:learned:d", "x")
    assert len(bench.grant(unstated(), *calls(5)).granted) == 5
