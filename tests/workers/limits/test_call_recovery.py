"""What Redis forgot of the calls in flight is waited for, until those who live have told of it."""

from collections.abc import Iterator

import pytest
import redis

from tests.ledger.moves import WORKER, Moves, settlement
from tests.workers.limits.limiter.limiter_twin import LEASE_SECONDS, Bench, on_redis
from tests.workers.limits.limiter.test_limiter import bounds, calls
from tierqueue.ledger.lifecycle.items import new_id
from tierqueue.ledger.session import Ledger
from tierqueue.workers.limits import call_recovery
from tierqueue.workers.limits.bounds import FORGOTTEN, RATE_FORGOTTEN, TIER_FORGOTTEN, Bounds
from tierqueue.workers.limits.limiter import Limiter


@pytest.fixture
def client(valkey_socket: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey_socket) as client:
        yield client


def prefix_of(bench: Bench) -> str:
    assert isinstance(bench.limiter, Limiter)
    return bench.limiter.keys.prefix


def test_calls_that_redis_forgot_are_waited_for_until_those_who_live_have_renewed_theirs(
    client: redis.Redis,
) -> None:
    bench, stated = on_redis(client), bounds(in_flight=2, tier_in_flight=9)
    mine, lost = bench.grant(stated, *calls(2)).granted
    for key in client.scan_iter(f"{prefix_of(bench)}:*"):
        if not key.endswith(b":clock"):
            client.delete(key)
    forgot = bench.limiter.grant(stated, calls(2))
    assert forgot.granted == ()
    assert forgot.full == (FORGOTTEN, TIER_FORGOTTEN)
    assert forgot.retry_after == LEASE_SECONDS
    for _ in range(6):
        bench.later(LEASE_SECONDS / 6)
        bench.limiter.renew("d", "frontier", [mine])
    assert len(bench.limiter.grant(stated, calls(2)).granted) == 1
    assert lost != mine


@pytest.mark.parametrize("away", [LEASE_SECONDS * 2 / 3, LEASE_SECONDS])
def test_who_was_not_spoken_to_for_long_may_have_let_slots_lapse(
    client: redis.Redis, away: float
) -> None:
    bench, stated = on_redis(client), bounds(in_flight=2)
    bench.grant(stated, *calls(1))
    bench.later(away)
    assert bench.limiter.grant(stated, calls(1)).full == (FORGOTTEN,)
    assert len(bench.grant(stated, *calls(1)).granted) == 1


def test_another_process_than_the_one_that_remembered_knows_nothing(client: redis.Redis) -> None:
    bench, stated = on_redis(client), bounds(in_flight=2)
    bench.grant(stated, *calls(1))
    client.hset(f"{prefix_of(bench)}:known:d", "process", "a-replica")
    assert bench.limiter.grant(stated, calls(1)).full == (FORGOTTEN,)


def test_where_the_ledger_knows_of_no_claim_there_is_nothing_to_wait_for(
    ledger: Ledger, client: redis.Redis
) -> None:
    moves, limiter = Moves(ledger), Limiter(client, new_id(), LEASE_SECONDS)
    limit = Bounds(deployment=WORKER.deployment, tier=WORKER.tier, in_flight=2, tier_in_flight=2)
    [claim] = moves.running()
    waits = call_recovery.grant(ledger, limiter, limit, calls(1))
    assert (waits.granted, waits.busy) == ((), True)
    moves.settle(settlement(claim))
    assert len(call_recovery.grant(ledger, limiter, limit, calls(1)).granted) == 1


def test_what_was_called_before_redis_forgot_it_counts_as_the_ledger_knows_it(
    ledger: Ledger, client: redis.Redis
) -> None:
    moves, limiter = Moves(ledger), Limiter(client, new_id(), LEASE_SECONDS)
    limit = Bounds(
        deployment=WORKER.deployment,
        tier=WORKER.tier,
        requests_per_minute=3,
        requests_per_day=9,
    )
    moves.running()
    held_off = call_recovery.grant(ledger, limiter, limit, calls(3))
    assert (held_off.granted, held_off.full) == ((), (RATE_FORGOTTEN,))
    assert 0 < held_off.retry_after <= Limiter.travel
    arrived = Limiter(client, limiter.keys.prefix, LEASE_SECONDS)
    client.hset(f"{limiter.keys.prefix}:windows:{WORKER.deployment}", "from", held_off.at)
    assert len(call_recovery.grant(ledger, arrived, limit, calls(3)).granted) == 2


def test_a_deployment_that_was_not_called_lately_starts_at_once(
    ledger: Ledger, client: redis.Redis
) -> None:
    limiter = Limiter(client, new_id(), LEASE_SECONDS)
    limit = Bounds(deployment="new", tier="frontier", requests_per_minute=3)
    assert len(call_recovery.grant(ledger, limiter, limit, calls(5)).granted) == 3
