"""A work item's way through the ledger, one step a call, what a step needs filled in."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from tierqueue.ledger.accounting import audit
from tierqueue.ledger.ceilings import books
from tierqueue.ledger.lifecycle import claims, flows, items, routes, settlements
from tierqueue.ledger.lifecycle.claims import Claim, Claimant, Claims
from tierqueue.ledger.lifecycle.items import NewItem, new_id
from tierqueue.ledger.lifecycle.routes import RoutedItem
from tierqueue.ledger.lifecycle.settlements import Settlement, SettlementResult
from tierqueue.ledger.records import Attempt, Item
from tierqueue.ledger.results.promises import Promise
from tierqueue.ledger.session import Ledger, Transaction
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import balances
from tierqueue.ledger.whole_item import WholeItem
from tierqueue.router.lifecycle import State
from tierqueue.router.money import NanoUSD
from tierqueue.router.policy.tables import CeilingRule

SECOND = 1_000_000
LEASE_US = 10 * SECOND

WORKER = Claimant(
    worker="worker-1",
    tier="gpu",
    deployment="small",
    provider="house",
    metered=False,
    lease_us=LEASE_US,
)


def new_item(**stated: Any) -> NewItem:
    """An item with as little in it as there can be, but for what is ``stated``."""
    filled: dict[str, Any] = {
        "id": new_id(),
        "task": "tierqueue.classify",
        "arguments": {"text": "Where is my card?"},
        "fingerprint": "the same",
        "prefix": "classify",
        "prompt_bytes": 300,
        "messages": 2,
        "output_limit": 50,
    }
    return NewItem(**{**filled, **stated})


def promise_of(item_id: str, promise_id: str | None = None) -> Promise:
    """A promise that owes nothing but the result."""
    return Promise(id=promise_id or new_id(), item_id=item_id, task="tierqueue.classify")


def ceiling(scope: str, limit: int, **stated: Any) -> CeilingRule:
    """A ceiling of ``limit`` nano-dollars."""
    filled: dict[str, Any] = {"name": "*", "window": "total", "timezone": "UTC"}
    filled.update(scope=scope, limit=NanoUSD(limit), **stated)
    return CeilingRule.model_construct(**filled)


def settlement(claim: Claim, **changed: Any) -> Settlement:
    """An accepted answer of 70 nano-dollars, but for what is ``changed``."""
    filled: dict[str, Any] = {
        "item_id": claim.item.id,
        "fence": claim.fence,
        "held": claim.held,
        "balances": claim.balances,
        "outcome": "accepted",
        "cost": 70,
        "next_state": State.SUCCEEDED,
        "output": {"label": "card"},
        "receipt": {"cost": 70},
        "calls_more": 1,
    }
    return Settlement(**{**filled, **changed})


def routed(item: Item, deadline: int, **chosen: Any) -> RoutedItem:
    """A route to ``WORKER`` bounded by 100 nano-dollars, but for what is ``chosen``."""
    filled: dict[str, Any] = {
        "id": item.id,
        "risk": "internal",
        "sensitivity": "internal",
        "latency": "background",
        "deadline": item.deadline or deadline,
        "max_cost": item.max_cost,
        "floor": "gpu",
        "fallback": item.fallback,
        "budget": item.budget or "acme",
        "stated": item.stated,
        "tier": WORKER.tier,
        "deployment": WORKER.deployment,
        "route": {"reasons": ["the cheapest that fits"]},
        "policy": item.policy,
        "bound": 100,
        "token_bound": 200,
        "degraded": item.degraded,
        "reason": None,
        "flow": item.flow,
        "due": item.submitted_at,
        "lane": item.lane,
        "state": "routed",
        "ready_at": item.ready_at,
        "prompt": item.prompt,
        "prompt_bytes": item.prompt_bytes,
    }
    return RoutedItem(**{**filled, **chosen})


def of_each(connection: Transaction, tier: str | None, most: int) -> dict[str, int]:
    """As many items of every flow that has work."""
    return {flow.name: most for flow in flows.with_work(connection, tier)}


class Moves:
    """The ledger's moves over one ledger, each in a transaction of its own."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def now(self) -> int:
        with self.ledger.read() as connection:
            return database_now(connection)

    def submit(self, count: int = 1, **stated: Any) -> list[str]:
        with self.ledger.write() as connection:
            return [items.submit(connection, new_item(**stated), None) for _ in range(count)]

    def route(self, **chosen: Any) -> list[str]:
        """Route whatever is submitted, bounded by 100 nano-dollars if nothing else is said."""
        with self.ledger.write() as connection:
            submitted = routes.submitted(connection, of_each(connection, None, 10_000))
            at = database_now(connection)
            later = at + 3_600 * SECOND
            routes.route(connection, [routed(item, later, **chosen) for item in submitted])
            return [item.id for item in submitted]

    def queue(self, tier: str = "gpu") -> dict[str, int]:
        """Queue whatever is routed; the fences as a slice would carry them."""
        with self.ledger.write() as connection:
            again_at = database_now(connection) + 60 * SECOND
            ready = routes.queue(connection, tier, of_each(connection, tier, 10_000), again_at)
            return {item.id: item.fence for item in ready}

    def ready(self, count: int = 1, *, bound: int = 100, **stated: Any) -> dict[str, int]:
        """``count`` new items, queued."""
        self.submit(count, **stated)
        self.route(bound=bound)
        return self.queue()

    def claim(
        self, wanted: Mapping[str, int], *, now: int | None = None, by: Claimant = WORKER
    ) -> Claims:
        with self.ledger.write() as connection:
            at = database_now(connection) if now is None else now
            known = claims.read(connection, wanted)
            return claims.claim(connection, by, wanted, known, at)

    def running(self, count: int = 1, **stated: Any) -> list[Claim]:
        """``count`` new items, claimed."""
        return self.claim(self.ready(count, **stated)).claimed

    def wake(self) -> int:
        """Bring back everything that waits, however long it has to."""
        with self.ledger.write() as connection:
            return routes.wake_due(connection, database_now(connection) + 10**15)

    def settle(self, *settled: Settlement, now: int | None = None) -> SettlementResult:
        with self.ledger.write() as connection:
            at = database_now(connection) if now is None else now
            ready = settlements.prepare(self.ledger.dialect, settled, at)
            return settlements.settle(connection, ready)

    def expire(
        self, claim: Claim, *, cost: int, next_state: State = State.ROUTED
    ) -> SettlementResult:
        """What the tick does with a claim whose lease has ended: its hold is booked."""
        lost = settlement(
            claim,
            outcome="unknown",
            cost=cost,
            next_state=next_state,
            output=None,
            receipt=None,
            reason="unknown" if next_state is State.DEAD else None,
            lost_more=1,
            calls_more=0,
        )
        return self.settle(lost)

    def ceilings(self, *rules: CeilingRule, by: str = "policy") -> None:
        with self.ledger.write() as connection:
            for rule in rules:
                books.put(connection, rule, by=by, now=database_now(connection))

    def row(self, item_id: str) -> WholeItem:
        with self.ledger.read() as connection:
            found = items.get(connection, item_id)
        assert found is not None
        return found

    def history(self, item_id: str) -> list[Attempt]:
        with self.ledger.read() as connection:
            return items.history(connection, item_id)

    def books(self) -> dict[str, tuple[int, int, int]]:
        """Each balance's held, spent and peak, once it is sure that the books balance."""
        with self.ledger.read() as connection:
            assert audit.audit(connection) == []
            rows: Sequence[Any] = connection.execute(select(balances)).all()
        return {row.id: (row.held, row.spent, row.peak) for row in rows}
