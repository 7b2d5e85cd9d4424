"""A tier's worker from its start to its end, in this process: Celery's signals are sent to it.

Ledger, broker and everything that the worker builds are the real ones; engines answer at once.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from celery.signals import worker_init, worker_shutdown, worker_shutting_down

from tests.ledger.moves import Moves
from tests.tasks.producer import Producer
from tests.tasks.routing.decide.in_force import applied
from tests.waiting import until
from tierqueue.ledger.monitoring import progress
from tierqueue.ledger.records import Fence
from tierqueue.ledger.session import now as database_now
from tierqueue.router.errors import Misconfigured
from tierqueue.router.item import Tier
from tierqueue.router.lifecycle import Wait
from tierqueue.router.outcome import Completed, Reply, Usage
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.policy import parse_policy
from tierqueue.tasks import collector
from tierqueue.tasks.app import TierqueueApp
from tierqueue.tasks.broker import names
from tierqueue.tasks.broker.slices import Slice, SliceItem
from tierqueue.tasks.installation import Installation
from tierqueue.tasks.kinds.complete import complete
from tierqueue.workers.engines.engine import Call
from tierqueue.workers.limits.pool import GATE, GatePool
from tierqueue.workers.tier_worker import TierWorker

POLICY = """
[deployments.NAME]
tier = "open_weight"
engine = "openai"
model = "m"
boundary = "vendor:v"
key_env = "KEY"
context_window = 1000
prices = { input = "1", output = "2" }
"""
BOTH = POLICY.replace("NAME", "small") + POLICY.replace("NAME", "other")


class Engine:
    """Answers every call at once."""

    def __init__(self, *, broken: bool) -> None:
        self._broken = broken
        self.asked: list[str] = []
        self.closed = False

    async def start(self) -> None:
        if self._broken:
            raise RuntimeError("no device")

    async def complete(self, call: Call) -> Reply:
        self.asked.append(call.item)
        return Completed(text="yes", usage=Usage(input_tokens=1), model_served=call.model)

    async def failed(self) -> str:
        await asyncio.Event().wait()
        return "never"

    async def close(self) -> None:
        self.closed = True


class Sender:
    """Celery's own worker, as far as ours asks it."""

    def __init__(self, pool: type) -> None:
        self.pool_cls = pool

    def setup_logging(self) -> None:
        """Celery's logs stay where they are."""


class Process:
    """The worker's process, as far as Celery and its supervisor see it."""

    def __init__(self, producer: Producer) -> None:
        self.ledger = producer.ledger
        self.moves = Moves(producer.ledger)
        self.engines: dict[str, Engine] = {}
        self.broken: set[str] = set()
        self.keyless: set[str] = set()
        self.app = TierqueueApp("tier", set_as_current=False)
        self.app.installation = Installation(self.app, idle_writes_seconds=60.0)
        self.app.tasks.update(producer.app.tasks)
        self.worker = TierWorker(self.app, Tier.OPEN_WEIGHT, self._build)
        self.app.amqp.queues.select(names.tier_queue(Tier.OPEN_WEIGHT))

    def _build(self, deployment: Deployment, _: Mapping[str, str]) -> Any:
        if deployment.name in self.keyless:
            raise Misconfigured(f"{deployment.name} has no key")
        self.engines[deployment.name] = Engine(broken=deployment.name in self.broken)
        return self.engines[deployment.name]

    def start(self, pool: type = GatePool) -> None:
        worker_init.send(sender=Sender(pool))

    def drain(self) -> None:
        worker_shutting_down.send(sender=None)

    def stop(self) -> None:
        worker_shutdown.send(sender=None)

    def slice(self, count: int = 1, *, deployment: str = "small") -> Slice:
        """A slice of so many new items that are queued."""
        asked = {"task": complete.name, "arguments": {"prompt": "Say yes"}}
        self.moves.submit(count, sensitivity="public", **asked)
        self.moves.route(
            policy=self.app.installation.policy.digest,
            tier="open_weight",
            deployment=deployment,
            sensitivity="public",
            bound=2_000_000,
        )
        queued = self.moves.queue("open_weight")
        items = {
            key: SliceItem(key, Fence(at), 100, 10, complete.name) for key, at in queued.items()
        }
        return Slice(deployment, items)

    def take(self, work: Slice) -> Any:
        """What the worker makes of the message."""
        return self.app.tasks[names.SLICE].run(**work.to_json())

    def states(self, work: Slice) -> list[str]:
        return [self.moves.row(key).state for key in work.items]

    def living(self) -> list[progress.Process]:
        with self.ledger.read() as connection:
            return progress.living(connection, database_now(connection))


@pytest.fixture
def process(
    producer_to: Callable[[str], Producer],
    ledger_url: str,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
    logs_put_back: None,
) -> Iterator[Process]:
    (tmp_path / "tierqueue.toml").write_text(POLICY.replace("NAME", "small"))
    monkeypatch.setattr(collector, "only_at_what_is_new", lambda: None)
    signals = (worker_init, worker_shutting_down, worker_shutdown)
    receivers = [list(sent.receivers or ()) for sent in signals]
    process = Process(producer_to(ledger_url))
    GATE.resize(4)
    yield process
    process.drain()
    process.stop()
    for sent, before in zip(signals, receivers, strict=True):
        sent.receivers = before
        sent.sender_receivers_cache.clear()
    GATE.resize(0)
    GATE.follow()
    process.app.installation.close()


def test_a_slice_is_called_settled_and_counted(process: Process) -> None:
    process.start()
    work = process.slice(3)
    assert process.take(work) == {"accepted": 3}
    assert process.states(work) == ["succeeded"] * 3
    assert sorted(process.engines["small"].asked) == sorted(work.items)
    [alive] = process.living()
    assert (alive.kind, alive.tier) == ("worker", "open_weight")


def test_a_slice_that_comes_before_the_worker_is_ready_is_an_error(process: Process) -> None:
    with pytest.raises(RuntimeError, match="before the worker was ready"):
        process.take(process.slice())


def test_a_worker_that_drains_claims_nothing_more_and_leaves_in_order(process: Process) -> None:
    process.start()
    process.drain()
    work = process.slice(2)
    assert process.take(work) == {"left": 2}
    assert process.states(work) == ["routed"] * 2
    process.stop()
    assert process.engines["small"].closed
    assert process.living() == []


def test_a_worker_with_another_pool_does_not_start(process: Process) -> None:
    with pytest.raises(SystemExit) as ended:
        process.start(pool=dict)
    assert ended.value.code == 2
    assert process.engines == {}


def test_a_worker_without_a_single_key_does_not_start(process: Process) -> None:
    process.keyless = {"small"}
    with pytest.raises(SystemExit) as ended:
        process.start()
    assert ended.value.code == 2


def test_an_engine_that_cannot_start_ends_the_one_beside_it(process: Process) -> None:
    applied(process.ledger, BOTH)
    process.broken = {"other"}
    with pytest.raises(SystemExit) as ended:
        process.start()
    assert ended.value.code == 1
    assert process.engines["small"].closed
    assert process.living() == []


def test_items_of_a_deployment_without_its_key_are_given_back(process: Process) -> None:
    applied(process.ledger, BOTH)
    process.keyless = {"other"}
    process.start()
    work = process.slice(deployment="other")
    assert process.take(work) == {"left": 1}
    assert process.states(work) == ["waiting"]


def test_the_first_slice_of_a_policy_that_was_applied_has_the_worker_go_by_it(
    process: Process,
) -> None:
    process.start()
    applied(process.ledger, BOTH)
    work = process.slice(deployment="other")
    process.take(work)
    assert process.engines.keys() == {"small", "other"}
    assert process.app.installation.policy.digest == parse_policy(BOTH, "both").digest
    assert [process.moves.row(key).reason for key in work.items] != [Wait.NOT_SERVED]


def test_what_runs_beside_the_slices_ends_with_the_worker(process: Process) -> None:
    def beside() -> set[str]:
        own = {"tierqueue-loop", "learned limits", "policy"}
        return own & {thread.name for thread in threading.enumerate()}

    process.start()
    assert beside() == {"tierqueue-loop", "learned limits", "policy"}
    process.drain()
    process.stop()
    until(lambda: not beside())
