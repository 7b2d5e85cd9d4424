"""A worker without Celery: what takes slices, with all that is around it."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import redis

from tests.ledger.moves import Moves
from tests.tasks.producer import Producer
from tierqueue.ledger.in_force import conditions
from tierqueue.ledger.lifecycle.items import new_id
from tierqueue.ledger.records import Fence
from tierqueue.ledger.session import now as database_now
from tierqueue.router.condition import Fault, ServedCall
from tierqueue.router.outcome import Completed, Reply, Usage
from tierqueue.router.policy.policy import parse_policy
from tierqueue.tasks.broker.slices import Slice, SliceItem
from tierqueue.tasks.kinds.complete import complete
from tierqueue.tasks.results.delivery import Delivery
from tierqueue.tasks.routing.side_by_side import Policies
from tierqueue.workers.caller import Caller
from tierqueue.workers.engines.engine import Call
from tierqueue.workers.engines.stations import Station
from tierqueue.workers.executor import Executor
from tierqueue.workers.leases import Leases
from tierqueue.workers.limits.bounds import bounds_of
from tierqueue.workers.limits.breaker import Breaker
from tierqueue.workers.limits.limiter import Limiter
from tierqueue.workers.limits.pool import Gate
from tierqueue.workers.limits.rates import OperatorLimits
from tierqueue.workers.process.event_loop import EventLoopThread
from tierqueue.workers.settler import Settler, SettlingCall

POLICY = parse_policy(
    """
[deployments.small]
tier = "gpu"
engine = "openai"
model = "m"
boundary = "vendor:v"
key_env = "KEY"
context_window = 1000
prices = { input = "1", output = "2" }
limits = { in_flight = 2, tokens_per_minute = 10000 }

[budgets.other.limits]
requests_per_minute = 1
""",
    "test",
)
SMALL = POLICY.deployments["small"]
LEASE_SECONDS = 60.0


class Engine:
    """Answers once it is let; ``asked`` are the ids of the items that it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.lets = threading.Event()
        self.lets.set()

    async def complete(self, call: Call) -> Reply:
        self.asked.append(call.item)
        await asyncio.to_thread(self.lets.wait)
        return Completed(text="yes", usage=Usage(input_tokens=1), model_served=call.model)


class Worker:
    """An executor with all that is around it, but Celery."""

    def __init__(self, producer: Producer, client: redis.Redis) -> None:
        self.moves = Moves(producer.ledger)
        self.engine, self.gate = Engine(), Gate(8)
        self.limiter = Limiter(client, new_id(), LEASE_SECONDS)
        self.concurrency: int | None = None
        self.checkpoint: Callable[[str], None] = lambda _: None
        self._client = client
        ledger, tiers = producer.ledger, {"small": "gpu"}
        self._loop, breaker = EventLoopThread(), Breaker(self._known)
        leases = Leases(ledger, self.limiter, tiers, LEASE_SECONDS)
        told, nobody = Delivery(producer.app), lambda *_: None
        self._settler = Settler(
            ledger, POLICY, breaker, self._free, told.ended, nobody, nobody, nobody
        )
        caller = Caller(
            types={complete.name: complete},
            loop=self._loop,
            leases=leases,
            settler=self._settler,
            breaker=breaker,
            checkpoint=nobody,
            contents=lambda _: {},
        )
        self.executor = Executor(
            worker="worker-1",
            ledger=ledger,
            policies=Policies(POLICY),
            stations={"small": Station(deployment=SMALL, engine=self.engine)},  # type: ignore[arg-type]
            limiter=self.limiter,
            gate=self.gate,
            loop=self._loop,
            caller=caller,
            breaker=breaker,
            keyless={"locked"},
            delivery=told,
            started=nobody,
            concurrency=lambda: self.concurrency,
            chosen=lambda: OperatorLimits({}, {}),
            lease_seconds=LEASE_SECONDS,
            checkpoint=self._come_by,
        )
        self._loop.start()
        self._settler.start()

    def stop(self) -> None:
        self.engine.lets.set()
        self._settler.stop(timeout=60)
        self._loop.stop(timeout=1.0)

    def _come_by(self, at: str) -> None:
        self.checkpoint(at)

    def _known(self) -> Any:
        with self.moves.ledger.read() as connection:
            return database_now(connection), conditions.by_deployment(connection)

    def _free(self, batch: Any) -> None:
        settled: list[SettlingCall] = list(batch)
        bounds = bounds_of(SMALL, None)
        self.limiter.release_ended(bounds, [one.spent() for one in settled])
        self.gate.release(len(settled))

    def slice(
        self,
        count: int = 1,
        *,
        deployment: str = "small",
        tokens: int = 100,
        budgets: Sequence[str] = (),
    ) -> Slice:
        """A slice of so many new items that are queued, and of one for each of these budgets."""
        asked = {"task": complete.name, "arguments": {"prompt": "Say yes"}}
        for budget in budgets:
            self.moves.submit(budget=budget, sensitivity="public", **asked)
        self.moves.submit(count, sensitivity="public", **asked)
        self.moves.route(
            policy=POLICY.digest, deployment=deployment, sensitivity="public", bound=2_000_000
        )
        queued = self.moves.queue()
        return Slice(
            deployment, {key: SliceItem(key, Fence(at), tokens) for key, at in queued.items()}
        )

    def stand(self, work: Slice) -> list[tuple[str, str | None]]:
        """The state and the reason of each item of a slice."""
        rows = [self.moves.row(key) for key in work.items]
        return [(row.state, row.reason) for row in rows]

    def waits(self, item_id: str, since: int | None = None) -> float:
        """Seconds, from now or ``since`` (epoch µs), until the item is looked at again."""
        return (self.moves.row(item_id).ready_at - (since or self.moves.now())) / 1_000_000

    def in_flight(self) -> tuple[int, int]:
        """How many slots and how many places are taken."""
        slots, *_ = self.limiter.keys.slots("small", "gpu")
        return int(self._client.zcard(slots)), self.gate.in_flight

    def note(self, *events: Fault | ServedCall, deployment: str = "small") -> None:
        """Something is known of a deployment."""
        with self.moves.ledger.write() as connection:
            conditions.note(connection, {deployment: list(events)})

    def condition(self, deployment: str) -> Any:
        return self._known()[1].get(deployment)
