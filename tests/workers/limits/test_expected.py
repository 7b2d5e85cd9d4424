"""What a call in flight counts by: what calls of its kind have used lately, or its bound."""

from collections.abc import Iterator

import pytest
import redis

from tests.workers.limits.limiter_twin import on_redis
from tests.workers.limits.test_limiter import bounds
from tierqueue.workers.limits.bounds import Spent, Want
from tierqueue.workers.limits.expected import FEWEST, LATELY, Expected


@pytest.fixture
def client(valkey_socket: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey_socket) as client:
        yield client


def want(name: str = "next", task: str = "sum", tokens: int = 500, output: int = 100) -> Want:
    return Want(name, tokens, output, task)


def learned(*used: tuple[int, int], times: int = FEWEST) -> Expected:
    expected = Expected()
    for number in range(times):
        expected.learn("d", want(), used[number % len(used)])
    return expected


def told(expected: Expected, wanted: Want, deployment: str = "d") -> tuple[int, int]:
    return expected.of(deployment, [wanted])[wanted.id]


def test_it_is_the_most_that_calls_of_its_kind_have_used_and_a_tenth_more() -> None:
    assert told(learned((30, 10), (50, 40), (20, 5)), want()) == (55, 44)


def test_of_fewer_than_a_hundred_calls_nothing_less_than_the_bound_is_expected() -> None:
    assert told(learned((30, 10), times=FEWEST - 1), want()) == (400, 100)


@pytest.mark.parametrize(
    ("other", "deployment"),
    [(want(task="label"), "d"), (want(task=""), "d"), (want(), "other")],
    ids=["another task type", "one that nobody knows", "another deployment"],
)
def test_calls_of_another_kind_say_nothing(other: Want, deployment: str) -> None:
    assert told(learned((30, 10)), other, deployment) == (400, 100)


def test_a_longer_prompt_is_none_of_those_that_were_seen() -> None:
    assert told(learned((30, 10)), want(tokens=900)) == (800, 11)


def test_where_no_task_type_is_known_nothing_is_learned() -> None:
    expected = Expected()
    for _ in range(FEWEST):
        expected.learn("d", want(task=""), (30, 10))
    assert told(expected, want(task="")) == (400, 100)


def test_a_call_that_used_nothing_was_refused_and_says_nothing() -> None:
    assert told(learned((0, 0)), want()) == (400, 100)


def test_more_than_the_bound_is_never_expected() -> None:
    assert told(learned((390, 120)), want()) == (400, 100)


def test_what_was_used_long_ago_is_forgotten() -> None:
    expected = learned((300, 90))
    for _ in range(LATELY):
        expected.learn("d", want(), (30, 10))
    assert told(expected, want()) == (33, 11)


def test_as_many_calls_are_in_flight_as_are_expected_to_fit(client: redis.Redis) -> None:
    bench, stated = on_redis(client), bounds(tokens_per_minute=5_000)
    for number in range(FEWEST):
        wanted = [want(f"{number}")]
        bench.ended(stated, bench.grant(stated, *wanted), wanted, (40, 10))
        bench.later(1.5)
    bench.later(66.0)
    many = [want(f"many{number}") for number in range(200)]
    granted = bench.grant(stated, *many)
    assert len(granted.granted) == 5_000 // (44 + 11)
    bench.ended(stated, granted, many, (44, 11))
    assert bench.grant(stated, Want("rest", 51)).granted == ()
    assert bench.grant(stated, Want("rest", 50)).granted == ("rest",)


def test_a_call_of_which_nobody_knows_what_it_used_counts_by_its_bound(
    client: redis.Redis,
) -> None:
    bench, stated = on_redis(client), bounds(tokens_per_minute=5_000)
    for number in range(FEWEST):
        wanted = [want(f"{number}")]
        bench.ended(stated, bench.grant(stated, *wanted), wanted, (40, 10))
        bench.later(1.5)
    bench.later(66.0)
    lost = [want("lost")]
    bench.limiter.settle(stated, [Spent(s) for s in bench.grant(stated, *lost).slots(lost)])
    assert bench.grant(stated, Want("rest", 4_501)).granted == ()
    assert bench.grant(stated, Want("rest", 4_500)).granted == ("rest",)


def test_what_a_cache_served_is_expected_again_though_it_counts_nowhere(
    client: redis.Redis,
) -> None:
    bench, stated = on_redis(client), bounds(tokens_per_minute=5_000)
    for number in range(FEWEST):
        wanted = [want(f"{number}")]
        slots = bench.grant(stated, *wanted).slots(wanted)
        bench.limiter.settle(stated, [Spent(slot, (10, 10), cached=290) for slot in slots])
        bench.later(1.5)
    bench.later(66.0)
    many = [want(f"many{number}") for number in range(200)]
    assert len(bench.grant(stated, *many).granted) == 5_000 // (330 + 11)
