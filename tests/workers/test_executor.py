"""The executor: which items of a slice are claimed and called, and what becomes of the others.

Ledger, limiter, gate, caller and settler are the real ones; the engine answers as it is told.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
import redis

from tests.ledger.moves import WORKER
from tests.tasks.producer import Producer
from tests.waiting import until
from tests.workers.slice_worker import LEASE_SECONDS, SMALL, Worker
from tierqueue.ledger.in_force import conditions
from tierqueue.ledger.session import now as database_now
from tierqueue.router.condition import Fault, ServedCall
from tierqueue.router.lifecycle import Wait
from tierqueue.tasks.broker.slices import Slice
from tierqueue.workers import executor as module
from tierqueue.workers.limits import call_recovery
from tierqueue.workers.limits.bounds import Bounds, Grant
from tierqueue.workers.limits.limiter import Limiter

pytestmark = [
    pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def client(valkey_socket: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey_socket) as client:
        yield client


@pytest.fixture
def worker(
    producer_to: Callable[[str], Producer], ledger_url: str, client: redis.Redis
) -> Iterator[Worker]:
    """A worker on each database."""
    worker = Worker(producer_to(ledger_url), client)
    yield worker
    worker.stop()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice waits for capacity only for a moment."""
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.1)


def test_each_item_of_a_slice_is_called_once_and_settled(worker: Worker) -> None:
    work = worker.slice(5)
    assert worker.executor.run(work) == {"accepted": 5}
    assert worker.stand(work) == [("succeeded", None)] * 5
    assert sorted(worker.engine.asked) == sorted(work.items)
    assert worker.in_flight() == (0, 0)
    assert worker.executor.claimed_at > 0


def test_a_slice_that_comes_twice_is_called_once(worker: Worker) -> None:
    work = worker.slice(3)
    assert worker.executor.run(work) == {"accepted": 3}
    assert worker.executor.run(work) == {}
    assert len(worker.engine.asked) == 3
    assert worker.in_flight() == (0, 0)


def test_a_slice_that_comes_again_while_it_runs_takes_no_slot_from_the_first(
    worker: Worker,
) -> None:
    work = worker.slice(1)
    worker.engine.lets.clear()
    first = threading.Thread(target=worker.executor.run, args=[work])
    first.start()
    until(lambda: worker.engine.asked)
    assert worker.executor.run(work) == {}
    assert worker.in_flight() == (1, 1)
    worker.engine.lets.set()
    first.join(60)
    assert worker.in_flight() == (0, 0)
    assert worker.stand(work) == [("succeeded", None)]


def test_a_deployment_that_is_not_served_here_is_left_to_others(worker: Worker) -> None:
    work = worker.slice(2, deployment="elsewhere")
    before = worker.moves.now()
    assert worker.executor.run(work) == {"left": 2}
    assert worker.stand(work) == [("waiting", "not_served")] * 2
    assert all(worker.waits(key) <= 5 <= worker.waits(key, before) for key in work.items)


def test_a_missing_key_is_the_deployments_fault_until_another_worker_was_served_there(
    worker: Worker,
) -> None:
    work = worker.slice(deployment="locked")
    assert worker.executor.run(work) == {"left": 1}
    assert worker.stand(work) == [("waiting", "no_key")]
    assert worker.condition("locked").code == "no_key"


def test_a_key_that_another_worker_has_is_not_missed(worker: Worker) -> None:
    now = worker.moves.now()
    worker.note(ServedCall(item="i", begun=now, at=now), deployment="locked")
    work = worker.slice(deployment="locked")
    assert worker.executor.run(work) == {"left": 1}
    assert worker.condition("locked").code is None


def test_without_the_limiter_nothing_is_called(worker: Worker, tmp_path: Any) -> None:
    away = redis.Redis(unix_socket_path=str(tmp_path / "nobody"))
    worker.executor._limiter = Limiter(away, "p", LEASE_SECONDS)
    work = worker.slice(2)
    assert worker.executor.run(work) == {"left": 2}
    assert worker.stand(work) == [("waiting", "limiter_away")] * 2
    assert worker.engine.asked == []
    assert worker.gate.in_flight == 0


@pytest.mark.usefixtures("impatient")
def test_what_finds_the_deployment_full_waits_in_the_ledger(worker: Worker) -> None:
    worker.engine.lets.clear()
    running, more = worker.slice(2), worker.slice(2)
    first = threading.Thread(target=worker.executor.run, args=[running])
    first.start()
    until(lambda: len(worker.engine.asked) == 2)
    assert worker.executor.run(more) == {"left": 2}
    assert worker.stand(more) == [("waiting", "in_flight")] * 2
    worker.engine.lets.set()
    first.join(60)
    assert worker.stand(running) == [("succeeded", None)] * 2
    assert worker.in_flight() == (0, 0)


@pytest.mark.usefixtures("impatient")
def test_a_budget_above_its_rate_holds_up_no_other_where_the_deployment_is_full_too(
    worker: Worker,
) -> None:
    worker.engine.lets.clear()
    running = worker.slice(1, budgets=["other"])
    more = worker.slice(1, budgets=["other"])
    first = threading.Thread(target=worker.executor.run, args=[running])
    first.start()
    until(lambda: len(worker.engine.asked) == 2)
    assert worker.executor.run(more) == {"left": 1}
    of_other, usual = more.items
    assert worker.stand(more) == [("waiting", "budget_rate"), ("waiting", "in_flight")]
    assert worker.waits(of_other) > 30
    assert worker.waits(usual) < 10
    worker.engine.lets.set()
    first.join(60)


def test_an_item_that_waits_for_its_budget_is_not_said_to_wait_for_its_deployment_s_rate(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    grant = call_recovery.grant

    def of_budget_full(ledger: Any, limiter: Any, bounds: Bounds, wanted: Any) -> Grant:
        full = (Wait.TOKENS_PER_MINUTE, Wait.BUDGET_RATE)
        stopped = Grant(granted=(), retry_after=50.0, full=full)
        return stopped if bounds.shared else grant(ledger, limiter, bounds, wanted)

    monkeypatch.setattr(call_recovery, "grant", of_budget_full)
    work = worker.slice(1, budgets=["other"])
    assert worker.executor.run(work) == {"accepted": 1}
    assert worker.stand(work) == [("waiting", "budget_rate"), ("succeeded", None)]


@pytest.mark.usefixtures("impatient")
def test_where_the_tier_lets_nothing_in_an_item_waits_for_the_tier(worker: Worker) -> None:
    worker.concurrency = 0
    worker.gate.resize(0)
    work = worker.slice()
    assert worker.executor.run(work) == {"left": 1}
    assert worker.stand(work) == [("waiting", "tier_in_flight")]


def test_an_item_larger_than_any_minute_waits_and_holds_up_no_other(worker: Worker) -> None:
    work = worker.slice(2)
    large, small = work.items
    items = {**work.items, large: work.items[large]._replace(token_bound=10_001)}
    before = worker.moves.now()
    assert worker.executor.run(Slice("small", items)) == {"accepted": 1}
    assert worker.engine.asked == [small]
    assert worker.stand(work) == [("waiting", "token_limit"), ("succeeded", None)]
    assert worker.waits(large) <= 60 <= worker.waits(large, before)


def test_a_worker_that_drains_claims_nothing_and_gives_back_at_once(worker: Worker) -> None:
    work = worker.slice(2)
    worker.executor.drain()
    assert worker.executor.draining
    assert worker.executor.run(work) == {"left": 2}
    assert worker.stand(work) == [("routed", None)] * 2
    assert worker.engine.asked == []


def _refused_key(now: int, items: Mapping[str, Any]) -> list[Fault]:
    item = next(iter(items))
    return [
        Fault(item=item, begun=now, at=now, code="no_key", detail="no key", draw=0.5)
        for _ in range(3)
    ]


def test_what_is_held_back_is_not_called_and_says_why(worker: Worker) -> None:
    work = worker.slice(2)
    worker.note(*_refused_key(worker.moves.now(), work.items))
    assert worker.executor.run(work) == {"left": 2}
    assert worker.stand(work) == [("waiting", "no_key")] * 2
    assert worker.engine.asked == []
    assert worker.in_flight() == (0, 0)


def test_of_a_deployment_on_trial_one_item_is_called_and_the_others_wait(worker: Worker) -> None:
    work = worker.slice(3)
    first, tried, last = work.items
    worker.note(*_refused_key(worker.moves.now(), work.items))
    until(lambda: worker.condition("small").until <= worker.moves.now())
    with worker.moves.ledger.write() as connection:
        now = database_now(connection)
        assert conditions.put_on_trial(connection, "small", tried, now, now + 60_000_000)
    worker.engine.lets.clear()
    running = threading.Thread(target=worker.executor.run, args=[work])
    running.start()
    until(lambda: {worker.moves.row(key).state for key in (first, last)} == {"waiting"})
    until(lambda: worker.engine.asked)
    worker.engine.lets.set()
    running.join(60)
    assert worker.engine.asked == [tried]
    assert worker.stand(work) == [("waiting", "no_key"), ("succeeded", None), ("waiting", "no_key")]


def test_whoever_cannot_claim_gives_slots_and_places_back(worker: Worker) -> None:
    def fails(at: str) -> None:
        if at == "before_claim":
            raise ConnectionError("the ledger is away")

    work = worker.slice(2)
    worker.checkpoint = fails
    with pytest.raises(ConnectionError):
        worker.executor.run(work)
    assert worker.in_flight() == (0, 0)
    assert worker.stand(work) == [("queued", None)] * 2
    worker.checkpoint = lambda _: None
    assert worker.executor.run(work) == {"accepted": 2}


def test_an_item_that_moved_on_is_not_given_back(worker: Worker) -> None:
    work = worker.slice(2)
    claimed, _ = work.items
    worker.executor.drain()
    another = replace(WORKER, policy=SMALL.policy, terms=SMALL.terms)
    worker.moves.claim({claimed: work.items[claimed].fence}, by=another)
    assert worker.executor.run(work) == {"left": 2}
    assert worker.stand(work) == [("running", None), ("routed", None)]
