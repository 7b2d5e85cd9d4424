"""What the limiter learns from a provider: its stated limits, and the rate at which it refuses."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import redis

from tests.workers.limits.limiter_twin import Bench, on_redis
from tests.workers.limits.test_limiter import bounds, calls
from tierqueue.router.outcome import Dimension, PerMinute
from tierqueue.workers.limits.bounds import Bounds, Grant, Spent, Want
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
    bench.grant(stated, Want("looks", 0))
    limiter_of(bench).release("d", "frontier", ["looks"])
    return limiter_of(bench).seen["d"].learned


def refused(
    bench: Bench, stated: Bounds, grant: Grant, wanted: Sequence[Want], of: Dimension = "requests"
) -> None:
    ended = [Spent(slot, (0, 0), refused=of) for slot in grant.slots(wanted)]
    assert bench.limiter.settle(stated, ended)


def served(bench: Bench, stated: Bounds, n: int, tokens: int = 0) -> None:
    wanted = calls(n, tokens)
    grant = bench.grant(stated, *wanted)
    assert len(grant.granted) == n
    bench.ended(stated, grant, wanted, (tokens, 0))


def throttled(bench: Bench, stated: Bounds, of: Dimension = "requests", tokens: int = 0) -> None:
    wanted = calls(1, tokens)
    refused(bench, stated, bench.grant(stated, *wanted), wanted, of)


def test_what_a_provider_states_bounds_all_workers_from_the_next_grant_on(bench: Bench) -> None:
    limiter_of(bench).told("d", PerMinute(requests=5))
    assert len(bench.grant(unstated(), *calls(9)).granted) == 5
    assert bench.grant(unstated(), *calls(1)).full == ("requests_per_minute",)


def test_what_a_provider_states_never_lifts_the_stated_limit(bench: Bench) -> None:
    limiter_of(bench).told("d", PerMinute(requests=500, tokens=10**12))
    stated = bounds(requests_per_minute=7)
    assert len(bench.grant(stated, *calls(9)).granted) == 7


def test_what_a_provider_states_lower_or_not_at_all_any_more_counts_at_once(bench: Bench) -> None:
    limiter = limiter_of(bench)
    limiter.told("d", PerMinute(requests=50, tokens=900))
    limiter.told("d", PerMinute(requests=5))
    assert learned_of(bench) == PerMinute(requests=5)


def test_without_any_limit_the_rate_at_which_it_refuses_is_found(bench: Bench) -> None:
    served(bench, unstated(), 200)
    throttled(bench, unstated())
    assert learned_of(bench) == PerMinute(requests=190)
    assert bench.grant(unstated(), *calls(1)).full == ("requests_per_minute",)


def test_the_rate_climbs_back_within_a_minute_and_past_it_slowly(bench: Bench) -> None:
    served(bench, unstated(), 200)
    throttled(bench, unstated())
    climbed = []
    for seconds in (30, 30, 120, 420):
        bench.later(seconds)
        climbed.append(learned_of(bench).requests)
    assert climbed == [195, 200, 206, 783]


def test_the_stated_limit_is_not_passed_however_far_it_has_climbed(bench: Bench) -> None:
    stated = bounds(requests_per_minute=100)
    bench.grant(stated, *calls(1))
    served(bench, stated, 80)
    throttled(bench, stated)
    bench.later(3000)
    assert len(bench.grant(stated, *calls(150)).granted) == 100


def test_calls_that_were_under_way_together_lower_it_once(bench: Bench) -> None:
    served(bench, unstated(), 200)
    wanted = calls(10)
    grant = bench.grant(unstated(), *wanted)
    for want in wanted:
        refused(bench, unstated(), grant, [want])
    assert learned_of(bench).requests == pytest.approx(195, abs=5)


def test_a_limit_that_was_lowered_far_is_found_from_the_next_minute_on(bench: Bench) -> None:
    served(bench, unstated(), 600)
    throttled(bench, unstated())
    bench.later(61)
    served(bench, unstated(), 300)
    throttled(bench, unstated())
    assert learned_of(bench).requests == 285


def test_refusals_by_chance_leave_the_rate_where_it_is(bench: Bench) -> None:
    served(bench, unstated(), 200)
    throttled(bench, unstated())
    for _ in range(20):
        bench.later(61)
        served(bench, unstated(), 192)
        throttled(bench, unstated())
    assert learned_of(bench).requests == 190


def test_a_few_calls_among_few_lower_nothing_below_sixty_a_minute(bench: Bench) -> None:
    for _ in range(5):
        served(bench, unstated(), 2)
        throttled(bench, unstated())
        bench.later(61)
    throttled(bench, unstated())
    found = learned_of(bench).requests
    assert found is None or found >= 60


def test_a_burst_after_a_pause_is_taken_by_its_rate(client: redis.Redis) -> None:
    bench = on_redis(client)
    served(bench, unstated(), 100)
    throttled(bench, unstated())
    found = learned_of(bench).requests
    assert found is not None
    assert found > 1000


def test_tokens_are_learned_where_the_refusal_is_of_tokens(bench: Bench) -> None:
    served(bench, unstated(), 200, tokens=100)
    throttled(bench, unstated(), "tokens", tokens=100)
    assert learned_of(bench) == PerMinute(tokens=19_000)


def test_one_call_alone_may_go_whatever_was_learned(bench: Bench) -> None:
    limiter_of(bench).told("d", PerMinute(requests=1, tokens=10))
    big = Want("big", 5_000)
    assert bench.grant(unstated(), big, *calls(1, 5)).granted == ("big",)
    waits = bench.grant(unstated(), Want("next", 5_000))
    assert waits.granted == ()
    bench.later(200)
    assert bench.grant(unstated(), Want("next", 5_000)).granted == ("next",)


def test_a_trial_is_bound_by_the_stated_limit_alone_and_its_refusal_lowers_nothing(
    bench: Bench,
) -> None:
    limiter_of(bench).told("d", PerMinute(requests=3))
    served(bench, unstated(), 3)
    assert bench.grant(unstated(), *calls(1)).granted == ()
    trial, wanted = unstated(trial=True), calls(1)
    grant = bench.grant(trial, *wanted)
    assert len(grant.granted) == 1
    refused(bench, trial, grant, wanted)
    assert learned_of(bench) == PerMinute(requests=3)
    stated = bounds(requests_per_minute=4, trial=True)
    assert bench.grant(stated, *calls(1)).granted == ()


def test_redis_that_forgot_all_has_learned_nothing(bench: Bench, client: redis.Redis) -> None:
    limiter = limiter_of(bench)
    limiter.told("d", PerMinute(requests=3))
    client.delete(f"{limiter._prefix}:learned:d")
    assert learned_of(bench) == PerMinute()


@pytest.mark.parametrize("number", ["nan", "inf", "-5", "0", "1e300", "x", ""])
@pytest.mark.parametrize("field", ["told1", "low1", "was1", "cut1"])
def test_what_somebody_else_left_of_what_was_learned_stops_nobody(
    bench: Bench, client: redis.Redis, field: str, number: str
) -> None:
    key = f"{limiter_of(bench)._prefix}:learned:d"
    client.hset(key, mapping={"low1": "100", "was1": "200", "cut1": str(bench.now), field: number})
    assert len(bench.grant(unstated(), *calls(60)).granted) == 60


def test_a_cut_that_lies_ahead_counts_nothing(bench: Bench, client: redis.Redis) -> None:
    key = f"{limiter_of(bench)._prefix}:learned:d"
    client.hset(key, mapping={"low1": "1", "was1": "1", "cut1": str(bench.now + 10**9)})
    assert learned_of(bench) == PerMinute()


def test_what_is_of_another_type_is_as_if_nothing_had_been_learned(
    bench: Bench, client: redis.Redis
) -> None:
    client.set(f"{limiter_of(bench)._prefix}:learned:d", "x")
    assert len(bench.grant(unstated(), *calls(5)).granted) == 5
