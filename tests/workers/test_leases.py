"""Leases: kept alive while their items are held, and nothing is kept alive beyond that."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
import redis

from tests.ledger.moves import WORKER, Moves
from tierqueue.ledger.lifecycle.claims import Claim
from tierqueue.ledger.session import Ledger
from tierqueue.workers.leases import HeldItem, Leases
from tierqueue.workers.limits.bounds import Bounds, SlotRequest
from tierqueue.workers.limits.limiter import Limiter

LEASE_SECONDS = 60.0
BOUNDS = Bounds(deployment=WORKER.deployment, tier=WORKER.tier, in_flight=10, tier_in_flight=10)


class Interrupted(Limiter):
    """A limiter in whose renewals something else happens first."""

    meanwhile: Callable[[], None] | None = None

    def renew(
        self, deployment: str, tier: str, ids: Iterable[str], shared: Sequence[str] = ()
    ) -> bool:
        if self.meanwhile is not None:
            self.meanwhile()
        return super().renew(deployment, tier, ids, shared)


@pytest.fixture
def client(valkey_socket: str) -> redis.Redis:
    client = redis.Redis.from_url(valkey_socket)
    client.flushall()
    return client


def held(ledger: Ledger, limiter: Limiter) -> tuple[Leases, Claim]:
    """One claim in flight with its slot."""
    [claim] = Moves(ledger).running()
    limiter.grant(BOUNDS, [SlotRequest("slot", 1)])
    leases = Leases(ledger, limiter, {WORKER.deployment: WORKER.tier}, LEASE_SECONDS)
    holding = HeldItem(claim.fence, "slot", lambda _: None)
    leases.take(WORKER.deployment, {claim.item.id: holding})
    return leases, claim


def beat(leases: Leases) -> None:
    """One beat of the heartbeat, at once."""
    for deployment, holdings in leases._snapshot().items():
        leases._beat(deployment, holdings)


def slots(client: redis.Redis) -> list[Any]:
    """The calls in flight as the limiter counts them: of the deployment, of the tier."""
    return [client.zrange(key, 0, -1) for key in sorted(client.keys("*calls:*"))]


def test_a_call_in_flight_keeps_its_slot_even_where_the_broker_forgot_it(
    ledger: Ledger, client: redis.Redis
) -> None:
    leases, _ = held(ledger, Limiter(client, "t", LEASE_SECONDS))
    client.flushall()
    beat(leases)
    assert slots(client) == [[b"slot"], [b"slot"]]


def test_a_call_that_has_ended_keeps_its_lease_and_not_its_slot(
    ledger: Ledger, client: redis.Redis
) -> None:
    limiter = Limiter(client, "t", LEASE_SECONDS)
    leases, claim = held(ledger, limiter)
    leases.call_ended(WORKER.deployment, [claim])
    limiter.release(WORKER.deployment, WORKER.tier, ["slot"])
    before = Moves(ledger).row(claim.item.id).lease_until
    beat(leases)
    after = Moves(ledger).row(claim.item.id).lease_until
    assert before is not None
    assert after is not None
    assert after > before
    assert slots(client) == []


def test_a_slot_given_back_in_the_middle_of_a_beat_stays_given_back(
    ledger: Ledger, client: redis.Redis
) -> None:
    limiter = Interrupted(client, "t", LEASE_SECONDS)
    leases, claim = held(ledger, limiter)

    def end() -> None:
        leases.call_ended(WORKER.deployment, [claim])
        limiter.release(WORKER.deployment, WORKER.tier, ["slot"])

    limiter.meanwhile = end
    beat(leases)
    assert slots(client) == []
