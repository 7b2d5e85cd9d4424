"""What calls share with others', their account and their item's budget, beside their deployment."""

from dataclasses import replace

import pytest
import redis

from tests.ledger.moves import WORKER, Moves, settlement
from tests.workers.limits.limiter.limiter_twin import LEASE_SECONDS, Bench, names, on_redis
from tierqueue.ledger.lifecycle.items import new_id
from tierqueue.ledger.session import Ledger
from tierqueue.router.item import Tier
from tierqueue.router.lifecycle import Wait
from tierqueue.workers.limits import call_recovery
from tierqueue.workers.limits.bounds import Bounds, CallUsage, SlotRequest
from tierqueue.workers.limits.limiter import Limiter
from tierqueue.workers.limits.operator_limits import StatedLimits
from tierqueue.workers.limits.rates import SharedRates


@pytest.fixture
def client(valkey_socket: str) -> redis.Redis:
    return redis.Redis.from_url(valkey_socket)


@pytest.fixture
def bench(client: redis.Redis) -> Bench:
    return on_redis(client)


def limiter_of(bench: Bench) -> Limiter:
    assert isinstance(bench.limiter, Limiter)
    return bench.limiter


def account(**limits: int) -> SharedRates:
    return SharedRates(kind="account", name="one", deployments={}, call=60.0, **limits)


def budget(name: str = "acme", **limits: int) -> SharedRates:
    return SharedRates(kind="budget", name=name, deployments={}, call=60.0, **limits)


def calls(number: int, tokens: int = 10, output: int = 0) -> list[SlotRequest]:
    return [SlotRequest(f"c{next(names)}", tokens, output) for _ in range(number)]


def of(deployment: str, *shared: SharedRates, per_minute: int | None = None) -> Bounds:
    return Bounds(
        deployment=deployment,
        tier="frontier",
        counted=True,
        shared=shared,
        requests_per_minute=per_minute,
    )


def test_the_calls_of_two_deployments_of_one_account_count_together(bench: Bench) -> None:
    shared = account(requests_per_minute=5)
    assert len(bench.grant(of("a", shared), *calls(3)).granted) == 3
    other = bench.grant(of("b", shared), *calls(3))
    assert (len(other.granted), other.full) == (2, (Wait.ACCOUNT_RATE,))
    assert len(bench.grant(of("c"), *calls(3)).granted) == 3


def test_what_one_of_them_does_not_grant_counts_in_none(bench: Bench) -> None:
    one, other = account(tokens_per_minute=1000), budget(requests_per_minute=2)
    first = bench.grant(of("a", one, other, per_minute=9), *calls(3, 100))
    assert (len(first.granted), first.full) == (2, (Wait.BUDGET_RATE,))
    used = {scope: seen.used.tokens for scope, seen in limiter_of(bench).seen.items()}
    assert used == {"a": 200, "account:one": 200, "budget:acme": 200}
    stopped = bench.grant(of("b", one, per_minute=1), *calls(2, 100))
    assert (len(stopped.granted), stopped.full) == (1, (Wait.REQUESTS_PER_MINUTE,))
    assert limiter_of(bench).seen["account:one"].used.tokens == 300


def test_of_several_limits_a_rate_is_named_before_calls_in_flight(bench: Bench) -> None:
    shared = account(requests_per_minute=1)
    within = replace(of("a", shared, budget(requests_per_minute=1)), in_flight=1)
    assert len(bench.grant(within, *calls(1)).granted) == 1
    stopped = bench.grant(within, *calls(1))
    assert stopped.full == (Wait.ACCOUNT_RATE, Wait.BUDGET_RATE, Wait.IN_FLIGHT)


def test_each_dimension_of_an_account_holds(bench: Bench) -> None:
    for limits in (
        {"tokens_per_minute": 250},
        {"input_tokens_per_minute": 120},
        {"output_tokens_per_minute": 130},
        {"requests_per_day": 2},
    ):
        shared = replace(account(**limits), name=f"n{next(names)}")
        found = bench.grant(of("a", shared), *calls(3, 100, 50))
        assert (len(found.granted), found.full) == (2, (Wait.ACCOUNT_RATE,))


def test_what_a_call_did_not_use_is_given_back_to_all_of_them(bench: Bench) -> None:
    one, other = account(tokens_per_minute=1000), budget(tokens_per_minute=1000)
    within, wanted = of("a", one, other), calls(2, 400)
    grant = bench.grant(within, *wanted)
    assert not bench.grant(within, *calls(1, 400)).granted
    bench.ended(of("a"), grant, wanted, (10, 20))
    bench.later(0.1)
    assert len(bench.grant(of("b", one), *calls(2, 400)).granted) == 2
    assert len(bench.grant(of("b", other), *calls(2, 400)).granted) == 2


def test_what_was_not_sent_counts_nowhere(bench: Bench) -> None:
    within, wanted = of("a", account(requests_per_minute=2, requests_per_day=2)), calls(2)
    grant = bench.grant(within, *wanted)
    bench.limiter.release_ended(
        of("a"), [CallUsage(slot, sent=False) for slot in grant.slots(wanted)]
    )
    assert len(bench.grant(within, *calls(2)).granted) == 2


def test_a_call_of_another_deployment_may_take_longer(bench: Bench) -> None:
    shared = SharedRates(
        kind="account", name="slow", deployments={}, call=600.0, output_tokens_per_minute=100
    )
    slow, quick = replace(of("a", shared), call=600.0), of("b", shared)
    assert bench.grant(slow, *calls(1, 80, 80)).granted
    bench.later(300)
    assert not bench.grant(quick, *calls(1, 80, 80)).granted
    bench.later(370)
    assert bench.grant(quick, *calls(1, 80, 80)).granted


def test_calls_in_flight_are_leased_in_all_of_them(bench: Bench) -> None:
    shared = account(in_flight=2)
    wanted = calls(3)
    grant = bench.grant(of("a", shared), *wanted)
    assert (len(grant.granted), grant.full) == (2, (Wait.ACCOUNT_IN_FLIGHT,))
    assert grant.busy
    bench.later(LEASE_SECONDS * 0.6)
    assert limiter_of(bench).renew("a", "frontier", grant.granted[:1], ("account:one",))
    bench.later(LEASE_SECONDS * 0.6)
    assert len(bench.grant(of("b", shared), *calls(3)).granted) == 1
    limiter_of(bench).release("a", "frontier", grant.granted[:1], ("account:one",))
    assert len(bench.grant(of("b", shared), *calls(3)).granted) == 1


def test_a_call_in_flight_for_a_budget_is_no_reason_to_wait_at_a_worker(bench: Bench) -> None:
    grant = bench.grant(of("a", budget(in_flight=1)), *calls(2))
    assert (len(grant.granted), grant.full) == (1, (Wait.BUDGET_IN_FLIGHT,))
    assert not grant.busy


def test_one_call_above_what_they_ever_allow_is_never_granted(bench: Bench) -> None:
    for shared in (account(input_tokens_per_minute=50), budget(tokens_per_minute=50)):
        [large], [small] = calls(1, 60), calls(1, 5)
        grant = bench.grant(of("a", shared), large, small)
        assert (grant.never, grant.granted) == ((large.id,), (small.id,))


def test_where_nothing_of_the_deployment_is_counted_its_budget_is(bench: Bench) -> None:
    within = Bounds(deployment="own", tier="gpu", shared=(budget(tokens_per_minute=100),))
    wanted = calls(2, 50)
    grant = bench.grant(within, *wanted)
    assert len(grant.granted) == 2
    bench.ended(Bounds(deployment="own", tier="gpu"), grant, wanted, (1, 1))
    bench.later(0.1)
    assert len(bench.grant(within, *calls(1, 50)).granted) == 1


def a_scope(kind: str, **limits: int) -> SharedRates:
    return SharedRates(
        kind="account" if kind == "account" else "budget",
        name="acme",
        deployments={WORKER.deployment: Tier(WORKER.tier)},
        call=60.0,
        **limits,
    )


@pytest.mark.parametrize("kind", ["account", "budget"])
def test_what_was_called_before_redis_forgot_it_counts_as_the_ledger_knows_it(
    ledger: Ledger, client: redis.Redis, kind: str
) -> None:
    moves, limiter = Moves(ledger), Limiter(client, new_id(), LEASE_SECONDS)
    shared = a_scope(kind, requests_per_minute=3, requests_per_day=9)
    moves.running(budget="acme")
    within = of("another", shared)
    held_off = call_recovery.grant(ledger, limiter, within, calls(3))
    assert (held_off.granted, held_off.full) == ((), (shared.forgotten,))
    client.hset(f"{limiter.keys.prefix}:shared-windows:{shared.key}", "from", held_off.at)
    assert len(call_recovery.grant(ledger, limiter, within, calls(3)).granted) == 2


def test_another_budgets_calls_are_not_this_ones(ledger: Ledger, client: redis.Redis) -> None:
    moves, limiter = Moves(ledger), Limiter(client, new_id(), LEASE_SECONDS)
    moves.running(budget="other")
    within = of("another", a_scope("budget", requests_per_minute=3, in_flight=3))
    assert len(call_recovery.grant(ledger, limiter, within, calls(3)).granted) == 3


def test_calls_in_flight_that_redis_forgot_are_waited_for_where_there_are_some(
    ledger: Ledger, client: redis.Redis
) -> None:
    moves, limiter = Moves(ledger), Limiter(client, new_id(), LEASE_SECONDS)
    [claim] = moves.running(budget="acme")
    shared = a_scope("account", in_flight=3)
    assert call_recovery.grant(ledger, limiter, of("another", shared), calls(1)).granted == ()
    moves.settle(settlement(claim))
    client.hset(f"{limiter.keys.prefix}:shared-windows:{shared.key}", "from", "0")
    assert len(call_recovery.grant(ledger, limiter, of("another", shared), calls(1)).granted) == 1


SET = 1_700_000_000_000_000
"""When a limit was set, in epoch microseconds: long ago."""


@pytest.mark.parametrize("kind", ["account", "budget"])
def test_what_was_called_while_no_limit_was_set_counts_where_one_is_set_again(
    ledger: Ledger, client: redis.Redis, kind: str
) -> None:
    moves, limiter = Moves(ledger), Limiter(client, new_id(), LEASE_SECONDS)
    shared = a_scope(kind, requests_per_minute=3, since=SET)
    assert len(call_recovery.grant(ledger, limiter, of("another", shared), calls(1)).granted) == 1
    moves.running(budget="acme")
    again = of("another", replace(shared, since=SET + 1))
    held_off = call_recovery.grant(ledger, limiter, again, calls(3))
    assert (held_off.granted, held_off.full) == ((), (shared.forgotten,))
    client.hset(f"{limiter.keys.prefix}:shared-windows:{shared.key}", "from", held_off.at)
    assert len(call_recovery.grant(ledger, limiter, again, calls(3)).granted) == 2
    assert not call_recovery.grant(ledger, limiter, of("another", shared), calls(1)).granted


@pytest.mark.parametrize("kind", ["account", "budget"])
def test_calls_in_flight_that_began_while_no_limit_was_set_are_waited_for(
    ledger: Ledger, client: redis.Redis, kind: str
) -> None:
    moves, limiter = Moves(ledger), Limiter(client, new_id(), LEASE_SECONDS)
    shared = a_scope(kind, in_flight=1, since=SET)
    wanted = calls(1)
    assert call_recovery.grant(ledger, limiter, of("another", shared), wanted).granted
    limiter.release("another", "frontier", [wanted[0].id], [shared.key])
    [claim] = moves.running(budget="acme")
    again = of("another", replace(shared, since=SET + 1))
    assert call_recovery.grant(ledger, limiter, again, calls(1)).granted == ()
    moves.settle(settlement(claim))
    client.hset(f"{limiter.keys.prefix}:shared-windows:{shared.key}", "from", "0")
    assert len(call_recovery.grant(ledger, limiter, again, calls(1)).granted) == 1


def test_an_engine_of_the_house_counts_its_calls_anew_where_its_limit_is_set_again(
    ledger: Ledger, client: redis.Redis
) -> None:
    moves, limiter = Moves(ledger), Limiter(client, new_id(), LEASE_SECONDS)
    own = Bounds(
        deployment=WORKER.deployment,
        tier=WORKER.tier,
        requests_per_minute=3,
        in_flight=3,
        since=SET,
    )
    assert len(call_recovery.grant(ledger, limiter, own, calls(1)).granted) == 1
    [claim] = moves.running()
    again = replace(own, since=SET + 1)
    held_off = call_recovery.grant(ledger, limiter, again, calls(3))
    assert held_off.granted == ()
    assert {Wait.RATE_FORGOTTEN, Wait.IN_FLIGHT_FORGOTTEN} == set(held_off.full)
    moves.settle(settlement(claim))
    client.hset(f"{limiter.keys.prefix}:windows:{WORKER.deployment}", "from", held_off.at)
    assert len(call_recovery.grant(ledger, limiter, again, calls(3)).granted) == 2


def test_until_every_worker_has_heard_of_a_new_limit_nobody_is_granted_in_it(
    ledger: Ledger, client: redis.Redis
) -> None:
    limiter, now = Limiter(client, new_id(), LEASE_SECONDS), Moves(ledger).now()
    shared = a_scope("budget", in_flight=3, requests_per_minute=3, since=now)
    soon = call_recovery.grant(ledger, limiter, of("another", shared), calls(1))
    assert soon.granted == ()
    assert 0 < soon.retry_after <= StatedLimits.EVERY + limiter.travel
    heard = replace(shared, since=now - 60_000_000)
    assert call_recovery.grant(ledger, limiter, of("another", heard), calls(1)).granted
