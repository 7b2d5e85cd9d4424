"""What a call in flight counts by: what calls of its kind have used lately, or its bound."""

import itertools
from collections.abc import Iterator

import pytest
import redis

from tests.workers.limits.limiter.limiter_twin import on_redis
from tests.workers.limits.limiter.test_limiter import bounds
from tierqueue.tasks.broker.names import LimiterKeys
from tierqueue.workers.limits.bounds import CallUsage, Slot, SlotRequest
from tierqueue.workers.limits.token_expectation import FEWEST, LATELY, TokenExpectation

names = itertools.count()


@pytest.fixture
def client(valkey_socket: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey_socket) as client:
        yield client


def want(
    name: str = "next", task: str = "sum", tokens: int = 500, output: int = 100
) -> SlotRequest:
    return SlotRequest(name, tokens, output, task)


@pytest.fixture
def prefix() -> str:
    return f"expected{next(names)}"


@pytest.fixture
def expected(client: redis.Redis, prefix: str) -> TokenExpectation:
    return TokenExpectation(client, LimiterKeys(prefix))


def learn(
    expected: TokenExpectation, wanted: SlotRequest, *used: tuple[int, int], times: int = FEWEST
) -> None:
    slot = Slot("slot", 0, wanted.input, wanted.output, want=wanted)
    expected.learn("d", [CallUsage(slot, used[number % len(used)]) for number in range(times)])


def told(expected: TokenExpectation, wanted: SlotRequest, deployment: str = "d") -> tuple[int, int]:
    return expected.of(deployment, [wanted])[wanted.id]


def test_it_is_the_most_that_calls_of_its_kind_have_used_and_a_tenth_more(
    expected: TokenExpectation,
) -> None:
    learn(expected, want(), (30, 10), (50, 40), (20, 5))
    assert told(expected, want()) == (55, 44)


def test_of_fewer_than_a_hundred_calls_nothing_less_than_the_bound_is_expected(
    expected: TokenExpectation,
) -> None:
    learn(expected, want(), (30, 10), times=FEWEST - 1)
    assert told(expected, want()) == (400, 100)


@pytest.mark.parametrize(
    ("other", "deployment"),
    [(want(task="label"), "d"), (want(task=""), "d"), (want(), "other")],
    ids=["another task type", "one that nobody knows", "another deployment"],
)
def test_calls_of_another_kind_say_nothing(
    expected: TokenExpectation, other: SlotRequest, deployment: str
) -> None:
    learn(expected, want(), (30, 10))
    assert told(expected, other, deployment) == (400, 100)


def test_a_longer_prompt_is_none_of_those_that_were_seen(expected: TokenExpectation) -> None:
    learn(expected, want(), (30, 10))
    assert told(expected, want(tokens=900)) == (800, 11)


@pytest.mark.parametrize(
    ("wanted", "used"),
    [(want(task=""), (30, 10)), (want(), (0, 0)), (want(), (390, 120))],
    ids=["no task type is known", "it was refused and used nothing", "it used more than its bound"],
)
def test_otherwise_its_bound_is_expected(
    expected: TokenExpectation, wanted: SlotRequest, used: tuple[int, int]
) -> None:
    learn(expected, wanted, used)
    assert told(expected, wanted) == (400, 100)


def test_what_was_used_long_ago_is_forgotten(expected: TokenExpectation) -> None:
    learn(expected, want(), (300, 90))
    learn(expected, want(), (30, 10), times=LATELY)
    assert told(expected, want()) == (33, 11)


def test_a_worker_that_has_just_started_goes_by_what_the_others_have_seen(
    expected: TokenExpectation, client: redis.Redis, prefix: str
) -> None:
    learn(expected, want(), (300, 90), times=1)
    learn(expected, want(), (30, 10), times=LATELY)
    assert told(TokenExpectation(client, LimiterKeys(prefix)), want()) == (33, 11)
    assert told(TokenExpectation(client, LimiterKeys(prefix)), want(task="label")) == (400, 100)


@pytest.mark.parametrize(
    "left", ["no list", "[1]", '["sum", 500, 100, -9, 1]', '["sum", 500, 100, 9]']
)
def test_what_somebody_else_left_at_the_broker_is_not_believed(
    client: redis.Redis, prefix: str, left: str
) -> None:
    started = TokenExpectation(client, LimiterKeys(prefix))
    client.lpush(LimiterKeys(prefix).expected("d"), *[left] * FEWEST)
    assert told(started, want()) == (400, 100)


def test_without_an_answer_from_the_broker_a_process_goes_by_its_own_calls(
    client: redis.Redis, prefix: str
) -> None:
    alone = TokenExpectation(client, LimiterKeys(prefix))
    client.set(LimiterKeys(prefix).expected("d"), "no list")
    learn(alone, want(), (30, 10))
    assert told(alone, want()) == (33, 11)


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
    assert bench.grant(stated, SlotRequest("rest", 51)).granted == ()
    assert bench.grant(stated, SlotRequest("rest", 50)).granted == ("rest",)


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
    bench.limiter.release_ended(
        stated, [CallUsage(s) for s in bench.grant(stated, *lost).slots(lost)]
    )
    assert bench.grant(stated, SlotRequest("rest", 4_501)).granted == ()
    assert bench.grant(stated, SlotRequest("rest", 4_500)).granted == ("rest",)


def test_what_a_cache_served_is_expected_again_though_it_counts_nowhere(
    client: redis.Redis,
) -> None:
    bench, stated = on_redis(client), bounds(tokens_per_minute=5_000)
    for number in range(FEWEST):
        wanted = [want(f"{number}")]
        slots = bench.grant(stated, *wanted).slots(wanted)
        bench.limiter.release_ended(
            stated, [CallUsage(slot, (10, 10), cached=290) for slot in slots]
        )
        bench.later(1.5)
    bench.later(66.0)
    many = [want(f"many{number}") for number in range(200)]
    assert len(bench.grant(stated, *many).granted) == 5_000 // (330 + 11)
