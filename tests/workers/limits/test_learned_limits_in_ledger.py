"""What was learned of a deployment's limits stands in the ledger for a broker that forgets it."""

from collections.abc import Iterator

import pytest
import redis

from tests.ledger.moves import WORKER, Moves, settlement
from tests.workers.limits.limiter.limiter_twin import LEASE_SECONDS, SECOND, Bench, on_redis
from tests.workers.limits.limiter.test_limiter import calls
from tests.workers.limits.test_learned_limits import found_at, limiter_of, unstated
from tierqueue.ledger.in_force import learned_limits
from tierqueue.ledger.in_force.learned_limits import LearnedLimit
from tierqueue.ledger.lifecycle.items import new_id
from tierqueue.ledger.session import Ledger
from tierqueue.router.lifecycle import State
from tierqueue.router.outcome import PerMinute
from tierqueue.workers.limits import call_recovery
from tierqueue.workers.limits.bounds import RATE_FORGOTTEN, Bounds
from tierqueue.workers.limits.learned_limits import LearnedLimitsWriter
from tierqueue.workers.limits.limiter import Limiter


@pytest.fixture
def client(valkey_socket: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey_socket) as client:
        yield client


@pytest.fixture
def bench(client: redis.Redis) -> Bench:
    return on_redis(client)


def keeping(ledger: Ledger, bench: Bench) -> LearnedLimitsWriter:
    return LearnedLimitsWriter(ledger, limiter_of(bench).learned, lambda: ["d"])


def written(ledger: Ledger) -> dict[tuple[str, str], LearnedLimit]:
    with ledger.read() as connection:
        return {one[1:3]: one for one in learned_limits.all_learned(connection, "d")}


def forget(bench: Bench, client: redis.Redis) -> None:
    for key in client.scan_iter(f"{limiter_of(bench).keys.prefix}:*"):
        if not key.endswith(b":clock"):
            client.delete(key)


def test_what_was_stated_and_found_holds_after_the_broker_has_forgotten_it(
    ledger: Ledger, bench: Bench, client: redis.Redis
) -> None:
    found_at(bench, unstated(), 20)
    limiter_of(bench).learned.note_stated("d", PerMinute(tokens=900))
    keeping(ledger, bench).tick()
    forget(bench, client)
    grant = call_recovery.grant(ledger, limiter_of(bench), unstated(), calls(90, 10))
    assert (len(grant.granted), grant.full) == (20, ("requests_per_minute",))
    grant = call_recovery.grant(ledger, limiter_of(bench), unstated(trial=True), calls(90, 10))
    assert grant.full == ("tokens_per_minute",)


def test_what_was_found_is_come_back_to_when_it_would_have_been(
    ledger: Ledger, bench: Bench, client: redis.Redis
) -> None:
    found_at(bench, unstated(), 20)
    keeping(ledger, bench).tick()
    bench.later(58)
    forget(bench, client)
    assert len(call_recovery.grant(ledger, limiter_of(bench), unstated(), calls(30)).granted) == 20
    bench.later(2)
    assert len(call_recovery.grant(ledger, limiter_of(bench), unstated(), calls(30)).granted) == 1


def test_the_ledger_says_what_how_and_since_when(ledger: Ledger, bench: Bench) -> None:
    found_at(bench, unstated(), 20)
    limiter_of(bench).learned.note_stated("d", PerMinute(requests=50, tokens=900))
    keeping(ledger, bench).tick()
    known = written(ledger)
    assert set(known) == {
        ("requests_per_minute", "told"),
        ("tokens_per_minute", "told"),
        ("requests_per_minute", "refused"),
    }
    refused = known["requests_per_minute", "refused"]
    assert (refused.rate, refused.tries) == (20, 1)
    # Two clocks, and the bench's own stood still.
    assert abs(refused.at - (bench.now - 61 * SECOND)) < 60 * SECOND


def test_what_is_known_is_not_written_again_and_what_is_not_stated_any_more_is_gone(
    ledger: Ledger, bench: Bench
) -> None:
    limiter = limiter_of(bench)
    limiter.learned.note_stated("d", PerMinute(requests=50, tokens=900))
    keeping(ledger, bench).tick()
    before = written(ledger)
    keeping(ledger, bench).tick()
    assert written(ledger) == before
    limiter.learned.note_stated("d", PerMinute(requests=40))
    keeping(ledger, bench).tick()
    assert {one.rate for one in written(ledger).values()} == {40}


def test_without_the_broker_the_ledger_stays_as_it_is(ledger: Ledger, bench: Bench) -> None:
    limiter_of(bench).learned.note_stated("d", PerMinute(requests=50))
    keeping(ledger, bench).tick()
    away = Limiter(redis.Redis.from_url("unix:///nobody/listens"), "p", LEASE_SECONDS)
    LearnedLimitsWriter(ledger, away.learned, lambda: ["d"]).tick()
    away.learned.remember("d", written(ledger).values(), 0)
    assert written(ledger)["requests_per_minute", "told"].rate == 50


def test_a_deployment_without_a_stated_limit_waits_too_until_its_calls_are_known(
    ledger: Ledger, client: redis.Redis
) -> None:
    moves, limiter = Moves(ledger), Limiter(client, new_id(), LEASE_SECONDS)
    limit = Bounds(deployment=WORKER.deployment, tier=WORKER.tier, counted=True)
    moves.running()
    assert call_recovery.grant(ledger, limiter, limit, calls(3)).full == (RATE_FORGOTTEN,)


def test_a_call_that_was_refused_counts_nowhere_after_the_broker_has_forgotten_either(
    ledger: Ledger, client: redis.Redis
) -> None:
    moves, limiter = Moves(ledger), Limiter(client, new_id(), LEASE_SECONDS)
    limit = Bounds(deployment=WORKER.deployment, tier=WORKER.tier, requests_per_minute=3)
    [claim] = moves.running()
    moves.settle(settlement(claim, outcome="throttled", next_state=State.ROUTED, output=None))
    assert len(call_recovery.grant(ledger, limiter, limit, calls(5)).granted) == 3
