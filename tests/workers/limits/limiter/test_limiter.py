"""The limiter: one suite for the Lua script on a real Valkey and for its twin in memory."""

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.waiting import PATIENCE_SECONDS
from tests.workers.limits.limiter.limiter_twin import (
    LEASE_SECONDS,
    SECOND,
    Bench,
    granted,
    in_memory,
    on_redis,
)
from tierqueue.router.errors import InvalidPolicy, SpendingRefused
from tierqueue.workers.limits.bounds import Bounds, CallUsage, SlotRequest
from tierqueue.workers.limits.limiter import Limiter

names = itertools.count()


class NoTravel(Limiter):
    """Negative control: a limiter that knows nothing of the way to the provider."""

    travel = 0.0


@pytest.fixture
def client(valkey_socket: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey_socket) as client:
        yield client


@pytest.fixture(params=["lua", "twin"])
def bench_of(request: pytest.FixtureRequest, client: redis.Redis) -> Callable[..., Bench]:
    return in_memory if request.param == "twin" else lambda *kind: on_redis(client, *kind)


@pytest.fixture
def bench(bench_of: Callable[..., Bench]) -> Bench:
    return bench_of()


def bounds(**numbers: Any) -> Bounds:
    return Bounds(**{"deployment": "d", "tier": "frontier", **numbers})


def calls(n: int, tokens: int = 0) -> list[SlotRequest]:
    return [SlotRequest(f"call-{next(names)}", tokens) for _ in range(n)]


def most_in_a_window(times: list[tuple[int, int]], seconds: float) -> int:
    """The largest sum in any half-open window, of ``(microsecond, amount)``."""
    times = sorted(times)
    most = total = first = 0
    for at, amount in times:
        total += amount
        while at - times[first][0] >= seconds * SECOND:
            total -= times[first][1]
            first += 1
        most = max(most, total)
    return most


def greedy(bench: Bench, limit: Bounds, seconds: float, tokens: int = 0) -> list[tuple[int, int]]:
    """Ask for more than is allowed and again the moment the limiter says so."""
    begun, got = bench.now, []
    while bench.now < begun + seconds * SECOND:
        grant = bench.grant(limit, *calls(40, tokens))
        got += [(bench.now, tokens or 1)] * len(grant.granted)
        bench.later(grant.retry_after)
    return got


@pytest.mark.parametrize("limit", [1, 2, 9, 10, 11, 60, 600])
def test_a_greedy_caller_after_idling_stays_within_every_sliding_minute(
    bench: Bench, limit: int
) -> None:
    stated = bounds(requests_per_minute=limit)
    bench.grant(stated, *calls(1))
    bench.later(3000)
    got = greedy(bench, stated, 200)
    # 65 seconds of grants can arrive within 60, where nobody says that they have.
    assert most_in_a_window(got, 65) == limit
    assert len(got) >= 3 * limit


def test_a_greedy_caller_stays_within_the_tokens_of_every_sliding_minute(bench: Bench) -> None:
    stated = bounds(tokens_per_minute=30_000, token_burst=4_000)
    got = greedy(bench, stated, 200, tokens=700)
    assert 29_300 <= most_in_a_window(got, 65) <= 30_000


def test_the_window_check_catches_a_limiter_that_forgets_the_way_to_the_provider(
    bench_of: Callable[..., Bench],
) -> None:
    bench = bench_of(NoTravel)
    stated = bounds(requests_per_minute=60)
    assert most_in_a_window(greedy(bench, stated, 100), 65) > 60


# A gap of None: the caller comes back the moment the limiter said.
steps = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(0, 3 * SECOND), st.integers(0, 200 * SECOND)),
        st.lists(st.integers(0, 500), min_size=1, max_size=12),
        st.integers(0, 5 * SECOND - 1),
    ),
    max_size=25,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(requests=st.integers(1, 120), tokens=st.integers(600, 6000), steps=steps)
@example(requests=1, tokens=600, steps=[(65 * SECOND, [500], 0)] * 20)
@example(requests=5, tokens=6000, steps=[(200 * SECOND, [1] * 12, 0), *[(None, [1], 0)] * 24])
@example(requests=120, tokens=600, steps=[(200 * SECOND, [500], 0), *[(None, [50], 0)] * 24])
def test_no_sliding_minute_passes_the_limit_whenever_calls_are_asked_for_arrive_and_end(
    bench_of: Callable[..., Bench], requests: int, tokens: int, steps: list[Any]
) -> None:
    bench = bench_of()
    stated = bounds(requests_per_minute=requests, tokens_per_minute=tokens, token_burst=500)
    arrivals: list[tuple[int, int]] = []
    soonest = 0.0
    for gap, costs, travel in steps:
        bench.later(soonest if gap is None else gap / SECOND)
        wanted = [SlotRequest(f"call-{next(names)}", cost, cost // 2) for cost in costs]
        grant = bench.grant(stated, *wanted)
        soonest = grant.retry_after
        count = len(grant.granted)
        if travel % 3:  # they arrive on the way, and end: half of each bound was used
            arrived = bench.now + travel // 2
            bench.later(travel / SECOND)
            used = [(slot.input // 2, slot.output // 2) for slot in grant.slots(wanted)]
            pairs = zip(grant.slots(wanted), used, strict=True)
            bench.limiter.release_ended(stated, [CallUsage(slot, tokens) for slot, tokens in pairs])
            arrivals += [(arrived, sum(both)) for both in used]
        else:  # nobody hears of them again
            arrivals += [(bench.now + travel, want.tokens) for want in wanted[:count]]
    assert most_in_a_window([(at, 1) for at, _ in arrivals], 60) <= requests
    assert most_in_a_window(arrivals, 60) <= tokens


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    requests=st.none() | st.integers(1, 120),
    flight=st.none() | st.integers(0, 20),
    tier=st.none() | st.integers(0, 20),
    steps=steps,
)
def test_the_script_and_its_twin_decide_alike(
    client: redis.Redis, requests: int | None, flight: int | None, tier: int | None, steps: Any
) -> None:
    stated = bounds(
        requests_per_minute=requests,
        tokens_per_minute=5000,
        output_tokens_per_minute=2000,
        token_burst=400,
        in_flight=flight,
        tier_in_flight=tier,
    )
    benches = on_redis(client), in_memory()
    soonest = 0.0
    for gap, costs, travel in steps:
        wanted = [SlotRequest(f"call-{next(names)}", cost, cost // 2) for cost in costs]
        for bench in benches:
            bench.later(soonest if gap is None else gap / SECOND)
        lua, twin = (bench.grant(stated, *wanted) for bench in benches)
        assert (lua.granted, lua.full, lua.never) == (twin.granted, twin.full, twin.never)
        assert lua.retry_after == twin.retry_after
        soonest = lua.retry_after
        for bench, grant in zip(benches, (lua, twin), strict=True):
            if travel % 2:
                bench.limiter.renew("d", "frontier", grant.granted[::2])
            else:
                slots = grant.slots(wanted)[::2]
                bench.limiter.release_ended(stated, [CallUsage(slot, (1, 2)) for slot in slots])


def test_a_big_item_is_not_overtaken_by_small_ones_behind_it(bench: Bench) -> None:
    stated = bounds(tokens_per_minute=650)
    small, big = calls(3, 90), calls(1, 600)
    grant = bench.grant(stated, small[0], big[0], *small[1:])
    assert grant.granted == (small[0].id,)
    assert grant.full == ("tokens_per_minute",)
    bench.later(65.5)
    assert bench.grant(stated, big[0], *small[1:]).granted == (big[0].id,)


def test_an_item_larger_than_the_burst_is_named_and_blocks_nobody(bench: Bench) -> None:
    stated = bounds(tokens_per_minute=6500, token_burst=650)
    huge, small = calls(1, 651), calls(2, 10)
    grant = bench.grant(stated, *huge, *small)
    assert grant.never == (huge[0].id,)
    assert grant.granted == tuple(want.id for want in small)


def test_a_call_refused_for_its_slot_costs_no_request(bench: Bench) -> None:
    stated = bounds(requests_per_minute=1, in_flight=1)
    first, second = calls(1), calls(1)
    assert bench.grant(stated, *first).granted
    bench.later(600)
    bench.limiter.renew("d", "frontier", [first[0].id])
    assert bench.grant(stated, *second).full == ("in_flight",)
    bench.limiter.release("d", "frontier", [first[0].id])
    assert bench.grant(stated, *second).granted == (second[0].id,)


def test_a_slice_is_part_granted_up_to_the_calls_in_flight(bench: Bench) -> None:
    wanted = calls(5)
    grant = bench.grant(bounds(in_flight=3), *wanted)
    assert grant.granted == tuple(want.id for want in wanted[:3])
    assert grant.full == ("in_flight",)
    assert 0 < grant.retry_after <= 1
    bench.limiter.release("d", "frontier", grant.granted[:2])
    assert len(bench.grant(bounds(in_flight=3), *calls(5)).granted) == 2


def test_the_tiers_calls_in_flight_are_shared_by_its_deployments(bench: Bench) -> None:
    one, other = bounds(tier_in_flight=4), bounds(deployment="e", tier_in_flight=4)
    assert len(bench.grant(one, *calls(3)).granted) == 3
    grant = bench.grant(other, *calls(3))
    assert len(grant.granted) == 1
    assert grant.full == ("tier_in_flight",)


def test_a_tier_at_zero_grants_nothing(bench: Bench) -> None:
    grant = bench.grant(bounds(tier_in_flight=0), *calls(3))
    assert grant.granted == ()
    assert grant.retry_after == 0.5


def test_the_slots_of_a_dead_worker_fall_out_and_renewed_ones_stay(bench: Bench) -> None:
    stated = bounds(in_flight=2)
    kept, lost = bench.grant(stated, *calls(2)).granted
    bench.later(LEASE_SECONDS - 1)
    assert bench.limiter.renew("d", "frontier", [kept])
    full = bench.grant(stated, *calls(2))
    assert full.granted == ()
    assert full.retry_after == 0.5
    bench.later(1)
    assert len(bench.grant(stated, *calls(2)).granted) == 1
    assert lost != kept


def test_a_clock_set_back_neither_empties_nor_freezes_a_window(client: redis.Redis) -> None:
    bench, stated = on_redis(client), bounds(requests_per_minute=2)
    assert len(bench.grant(stated, *calls(3)).granted) == 2
    bench.later(-7200)
    assert bench.grant(stated, *calls(1)).granted == ()
    bench.later(66)
    assert len(bench.grant(stated, *calls(3)).granted) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"requests_per_minute": 0},
        {"tokens_per_minute": 0},
        {"token_burst": 0},
        {"in_flight": -1},
        {"tier_in_flight": -1},
    ],
)
def test_bounds_that_let_nothing_through_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidPolicy, match="deployment d"):
        bounds(**wrong)


def test_a_call_cannot_give_tokens_back_by_wanting_less_than_none() -> None:
    with pytest.raises(ValueError, match="-1 tokens"):
        SlotRequest("call", -1)


def test_after_a_flush_nothing_is_granted_at_once_and_renewal_brings_the_slots_back(
    valkey_socket: str,
) -> None:
    with redis.Redis.from_url(valkey_socket, db=9) as client:  # its own: others use the server
        limiter = Limiter(client, "flushed", LEASE_SECONDS)
        stated, counted = bounds(in_flight=2), bounds(requests_per_minute=60_000)
        slots = granted(limiter, stated, calls(2)).granted
        assert len(slots) == 2
        assert granted(limiter, counted, calls(1)).granted
        client.flushdb()
        client.script_flush()
        assert limiter.grant(counted, calls(1)).granted == ()
        assert limiter.renew("d", "frontier", slots)
        assert granted(limiter, stated, calls(2)).granted == ()


def test_every_key_vanishes_when_unused(client: redis.Redis) -> None:
    limiter = Limiter(client, "aging", LEASE_SECONDS)
    stated = bounds(requests_per_minute=6000, in_flight=2, tier_in_flight=2)
    slots = granted(limiter, stated, calls(1)).granted
    limiter.renew("d", "frontier", slots)
    keys = list(client.scan_iter("aging:*"))
    assert len(keys) == 5
    assert all(0 < client.ttl(key) <= 3600 for key in keys)


def no_retry(path: Path) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(path), socket_timeout=0.2, retry=Retry(NoBackoff(), 0))


def test_nothing_is_granted_while_redis_cannot_be_reached(tmp_path: Path) -> None:
    with no_retry(tmp_path / "nobody") as client:
        limiter = Limiter(client, "p", LEASE_SECONDS)
        with pytest.raises(SpendingRefused) as refused:
            limiter.grant(bounds(tier_in_flight=9), calls(1))
        assert refused.value.fields == {"deployment": "d"}
        assert not limiter.renew("d", "frontier", ["a"])
        assert not limiter.release("d", "frontier", ["a"])


def test_nothing_is_granted_while_redis_is_silent(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "s"))
        silent.listen()
        with no_retry(tmp_path / "s") as client, pytest.raises(SpendingRefused):
            Limiter(client, "p", LEASE_SECONDS).grant(bounds(in_flight=9), calls(1))


def test_nothing_is_granted_when_redis_answers_with_an_error(valkey_socket: str) -> None:
    with redis.Redis.from_url(valkey_socket, db=9_999) as client, pytest.raises(SpendingRefused):
        Limiter(client, "odd", LEASE_SECONDS).grant(bounds(requests_per_minute=9), calls(1))


def test_without_any_bound_redis_is_not_asked(tmp_path: Path) -> None:
    with no_retry(tmp_path / "nobody") as client:
        assert len(Limiter(client, "p", LEASE_SECONDS).grant(bounds(), calls(3)).granted) == 3


class ShortMinute(Limiter):
    minute, travel = 1.0, 0.1


def test_several_workers_on_the_servers_own_clock_stay_within_the_limit(valkey_socket: str) -> None:
    stated = bounds(requests_per_minute=100)
    got: list[tuple[int, int, int]] = []
    ends, pause = time.monotonic() + PATIENCE_SECONDS, threading.Event()

    def work() -> None:
        with redis.Redis.from_url(valkey_socket) as client:
            limiter = ShortMinute(client, "shared", LEASE_SECONDS)
            while sum(count for _, _, count in got) < 300 and time.monotonic() < ends:
                asked = time.monotonic_ns() // 1000
                grant = granted(limiter, stated, calls(20))
                got.append((asked, time.monotonic_ns() // 1000, len(grant.granted)))
                pause.wait(grant.retry_after)

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    # The server granted between the question and its reply, however long that took.
    for since, _, _ in got:
        within = [answer for answer in got if since <= answer[0] and answer[1] < since + SECOND]
        assert sum(count for _, _, count in within) <= 100
    assert sum(count for _, _, count in got) >= 300
