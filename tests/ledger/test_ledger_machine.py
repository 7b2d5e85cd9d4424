"""The ledger's moves in any order, under a simulated clock and a broker that loses, doubles and
reorders: nothing lost, nothing accepted twice, no stale write, no nano-dollar over a ceiling.
"""

import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule
from sqlalchemy import event, func, select

from tests.ledger.moves import (
    LEASE_US,
    SECOND,
    WORKER,
    Moves,
    ceiling,
    new_item,
    of_each,
    routed,
    settlement,
)
from tests.ledger.placed import commit
from tests.ledger.review_rules import ReviewRules
from tierqueue.ledger import tables
from tierqueue.ledger.accounting import audit
from tierqueue.ledger.ceilings import books
from tierqueue.ledger.evaluation import labels, reviews
from tierqueue.ledger.lifecycle import claims, items, leases, routes
from tierqueue.ledger.lifecycle.claims import Claim
from tierqueue.ledger.lifecycle.deaths import end_overdue
from tierqueue.ledger.lifecycle.settlements import Parking
from tierqueue.ledger.operations import dead_letters
from tierqueue.ledger.session import Ledger
from tierqueue.router.errors import InvalidItem
from tierqueue.router.lifecycle import ENDS, State

BOUND = 100
BUDGETS = ("acme", "other")
AFTER = {
    "accepted": State.SUCCEEDED,
    "failed": State.WAITING,
    "rejected": State.SUBMITTED,
    "throttled": State.WAITING,
    "interrupted": State.ROUTED,
    "refused": State.DEAD,
    "doubtful": State.REVIEW,
}


class LedgerMachine(ReviewRules):
    """Every move of the ledger; beside it, in plain dictionaries, what must be true."""

    migrated: Path
    seen: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="tierqueue-machine-"))
        shutil.copyfile(self.migrated, self.folder / "ledger.db")
        self.ledger = Ledger(f"sqlite:///{self.folder / 'ledger.db'}", pool_size=1)
        # No crash is simulated here, so nothing has to reach the disk.
        event.listen(
            self.ledger.engine,
            "connect",
            lambda connection, _: connection.execute("PRAGMA synchronous = OFF"),
        )
        self.now = 1_800_000_000 * SECOND
        self.clock = pytest.MonkeyPatch()
        for module in (items, dead_letters, reviews, labels):
            self.clock.setattr(module, "database_now", lambda _: self.now)
        self.moves = Moves(self.ledger)
        self.limits = {("everything", "*"): 900, **{("budget", name): 600 for name in BUDGETS}}
        for (scope, name), limit in self.limits.items():
            self._put(scope, name, limit)
        self.keys: dict[str, str] = {}
        self.most: dict[str, int | None] = {}
        self.messages: list[dict[str, int]] = []
        self.given: list[Claim] = []
        self.charged: dict[tuple[str, int], int] = {}
        self.doubtful: set[tuple[str, int]] = set()
        self.answers: dict[str, int] = {}
        self.ends: dict[str, str] = {}

    def _put(self, scope: str, name: str, limit: int) -> None:
        with self.ledger.write() as connection:
            books.put(connection, ceiling(scope, limit, name=name), by="ada", now=self.now)

    def _ended(self, endings: list[Any]) -> None:
        for ending in endings:
            assert ending.item_id not in self.ends, "an item has ended twice"
            self.ends[ending.item_id] = ending.state

    @rule(
        key=st.sampled_from([None, "a", "b"]),
        budget=st.sampled_from(BUDGETS),
        max_cost=st.sampled_from([None, 150, 250]),
        delay=st.sampled_from([None, 30 * SECOND]),
    )
    def submit(self, key: str | None, budget: str, max_cost: int | None, delay: int | None) -> None:
        later = None if delay is None else self.now + delay
        new = new_item(
            idempotency_key=key,
            budget=budget,
            max_cost=max_cost,
            not_before=later,
            fingerprint=f"{budget} {max_cost}",
        )
        known = None if key is None else self.keys.get(key)
        try:
            with self.ledger.write() as connection:
                item_id = items.submit(connection, new, None)
        except InvalidItem:
            assert known is not None
            return
        assert item_id == (known or new.id)
        if known is None:
            self.most[item_id] = max_cost
            if key is not None:
                self.keys[key] = item_id

    @initialize()
    def begin(self) -> None:
        self.start_several(3, "acme", None)

    @rule(
        count=st.integers(1, 4),
        budget=st.sampled_from(BUDGETS),
        max_cost=st.sampled_from([None, 250]),
    )
    def start_several(self, count: int, budget: str, max_cost: int | None) -> None:
        """The lifecycle without a fault, up to the claim: most faults need work to befall."""
        with self.ledger.write() as connection:
            new = [new_item(budget=budget, max_cost=max_cost) for _ in range(count)]
            commit(connection, new)
        self.most |= {item.id: max_cost for item in new}
        self.start()

    @rule()
    def start(self) -> None:
        """Whatever can go, goes: waits, retries, replays and expired claims come round again."""
        self.wake()
        self.route()
        self.queue(4)
        if self.messages:
            self._claim(self.messages[-1])

    @precondition(lambda self: self.given)
    @rule(then=st.sampled_from([State.ROUTED, State.WAITING]))
    def take_over(self, then: State) -> None:
        """Workers fall silent, and others go on with what they had."""
        self.now += LEASE_US + SECOND
        self.expire(then)
        self.start()

    @rule()
    def route(self) -> None:
        with self.ledger.write() as connection:
            submitted = routes.submitted(connection, of_each(connection, None, 4))
            later = self.now + 300 * SECOND
            chosen: dict[str, Any] = {"bound": BOUND, "token_bound": 1, "route": {"reasons": []}}
            routes.route(connection, [routed(item, later, **chosen) for item in submitted])

    @rule(most=st.integers(1, 4))
    def queue(self, most: int) -> None:
        with self.ledger.write() as connection:
            wanted = of_each(connection, "gpu", most)
            ready = routes.queue(connection, "gpu", wanted, self.now + 20 * SECOND)
        if ready:
            self.messages.append({item.id: item.fence for item in ready})

    @rule()
    def send_again(self) -> None:
        with self.ledger.write() as connection:
            found = routes.unclaimed(connection, self.now, self.now + 20 * SECOND, 4)
        if found:
            self.messages.append({item.id: item.fence for item in found})

    @precondition(lambda self: self.messages)
    @rule(data=st.data())
    def lose_a_message(self, data: st.DataObject) -> None:
        self.messages.pop(data.draw(st.integers(0, len(self.messages) - 1)))

    @precondition(lambda self: self.messages)
    @rule(data=st.data())
    def claim(self, data: st.DataObject) -> None:
        """A message arrives, whichever and however often: it stays and may come again."""
        self._claim(data.draw(st.sampled_from(self.messages)))

    def _claim(self, wanted: dict[str, int]) -> None:
        with self.ledger.write() as connection:
            known = claims.read(connection, wanted)
            result = claims.claim(connection, WORKER, wanted, known, self.now)
        for claim in result.claimed:
            assert (claim.item.id, claim.fence) not in {(c.item.id, c.fence) for c in self.given}
        self.given += result.claimed
        self._ended(result.ends.ended)
        self.seen["claimed"] += len(result.claimed)
        self.seen["claimed again"] += sum(claim.fence > 1 for claim in result.claimed)
        self.seen["refused a claim"] += result.stale
        self.seen["waited for others' holds"] += result.waiting
        self.seen["dead at the claim"] += len(result.ends.ended)

    @precondition(lambda self: self.given)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        each = data.draw(st.sampled_from(self.given))
        row = self.moves.row(each.item.id)
        mine = row.state == State.RUNNING and row.fence == each.fence
        with self.ledger.write() as connection:
            lost, _ = leases.renew(connection, {each.item.id: each.fence}, self.now + LEASE_US)
        assert (each.item.id in lost) is not mine

    @rule(then=st.sampled_from([State.ROUTED, State.WAITING, State.DEAD]))
    def expire(self, then: State) -> None:
        """The tick finds claims whose lease has ended and books their holds as unknown."""
        self._expire(then)

    def _expire(self, then: State) -> bool:
        with self.ledger.write() as connection:
            found = leases.lapsed(connection, self.now, 10)
        for item, attempt in found:
            claim = next(c for c in self.given if (c.item.id, c.fence) == (item.id, attempt.fence))
            self._ended(self.moves.expire(claim, cost=attempt.held, next_state=then).ends.ended)
            self.charged[item.id, item.fence] = attempt.held
            self.doubtful.add((item.id, item.fence))
        return bool(found)

    @precondition(lambda self: self.given)
    @rule(data=st.data(), outcome=st.sampled_from(sorted(AFTER)))
    def come_back_late(self, data: st.DataObject, outcome: str) -> None:
        """A worker that was frozen past its lease writes, while others go on with its items."""
        self.take_over(State.ROUTED)
        self.settle(data, outcome, 60)

    @precondition(lambda self: self.given)
    @rule(data=st.data(), outcome=st.sampled_from(["failed", "rejected", "interrupted"]))
    def go_round(self, data: st.DataObject, outcome: str) -> None:
        """A call ends without an answer that is accepted, and its item comes round again."""
        self.settle(data, outcome, 40)
        self.now += 6 * SECOND
        self.start()

    @precondition(lambda self: self.given)
    @rule(data=st.data(), outcome=st.sampled_from(sorted(AFTER)), cost=st.integers(0, BOUND))
    def settle(self, data: st.DataObject, outcome: str, cost: int) -> None:
        """Any claim there ever was comes back with an outcome: in time, late, or once more."""
        each = data.draw(st.sampled_from(self.given))
        key = (each.item.id, each.fence)
        before = self.moves.row(each.item.id)
        fresh = before.state == State.RUNNING and before.fence == each.fence
        accepted = outcome == "accepted"
        cost = 0 if outcome == "throttled" else cost
        changed: dict[str, Any] = {
            "outcome": outcome,
            "cost": cost,
            "next_state": AFTER[outcome],
            "output": {"by": each.fence} if accepted else None,
            "receipt": {"cost": cost} if accepted else None,
            "ready_at": self.now + 5 * SECOND,
            "parked": Parking(due=self.now + 30 * SECOND) if outcome == "doubtful" else None,
            "refused": {"by": each.fence} if outcome == "doubtful" else None,
            "reason": "low_confidence" if outcome == "doubtful" else None,
        }
        result = self.moves.settle(settlement(each, **changed), now=self.now)
        self._ended(result.ends.ended)
        after = self.moves.row(each.item.id)
        assert bool(result.stale) is not fresh
        self.seen["stale"] += not fresh
        self.seen["stale while an heir ran"] += not fresh and before.state == State.RUNNING
        if fresh:
            assert not before.cancel_requested or State(after.state) in ENDS
            self.charged[key] = cost
            if accepted:
                self.answers[each.item.id] = each.fence
            return
        unchanged = ("state", "fence", "output", "receipt", "error", "ended_at", "held", "reason")
        assert [getattr(before, name) for name in unchanged] == [
            getattr(after, name) for name in unchanged
        ]
        if key in self.doubtful:
            self.seen["corrected"] += 1
            self.doubtful.discard(key)
            self.charged[key] = cost

    @precondition(lambda self: self.most)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        begun = [claim.item.id for claim in self.given]
        item_id = data.draw(st.sampled_from(begun or sorted(self.most)))
        with self.ledger.write() as connection:
            self._ended(items.cancel(connection, [item_id], "ada").ended)

    @rule()
    def replay(self) -> None:
        with self.ledger.write() as connection:
            dead = dead_letters.listed(connection, dead_letters.DeadLetterQuery(), 2)
            for item_id in dead_letters.replay(connection, [row.id for row in dead], "ada"):
                assert self.ends.pop(item_id) == State.DEAD
                self.seen["replayed"] += 1

    @rule(scope=st.sampled_from([("everything", "*"), ("budget", "acme")]))
    def raise_a_ceiling(self, scope: tuple[str, str]) -> None:
        self.limits[scope] += 100
        self._put(*scope, self.limits[scope])

    @rule(seconds=st.sampled_from([1, 6, 11, 60]))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds * SECOND

    @rule()
    def wake(self) -> None:
        with self.ledger.write() as connection:
            routes.wake_due(connection, self.now)

    @rule()
    def bury_the_late(self) -> None:
        with self.ledger.write() as connection:
            self._ended(end_overdue(connection, self.now, 10).ended)

    @invariant()
    def nothing_is_lost_and_every_end_is_the_only_one(self) -> None:
        with self.ledger.read() as connection:
            rows = connection.execute(
                select(tables.items.c.id, tables.items.c.state, tables.items.c.output)
            ).all()
            fences = select(tables.attempts.c.item_id, func.max(tables.attempts.c.fence))
            grouped = connection.execute(fences.group_by(tables.attempts.c.item_id))
            newest = {item_id: fence for item_id, fence in grouped}  # noqa: C416 - rows, not pairs
        assert {row.id for row in rows} == self.most.keys()
        assert {row.id: row.state for row in rows if State(row.state) in ENDS} == self.ends
        answered = {row.id: row.output["by"] for row in rows if row.output is not None}
        assert answered == self.answers
        assert {row.id for row in rows if row.state == State.SUCCEEDED} == answered.keys()
        assert all(newest[item_id] == fence for item_id, fence in answered.items())

    @invariant()
    def no_ceiling_is_passed_and_the_books_balance(self) -> None:
        with self.ledger.read() as connection:
            assert audit.audit(connection) == []
            for row in connection.execute(select(tables.balances)):
                limit = self.limits[row.scope, row.name]
                assert 0 <= row.spent + row.held <= row.peak <= limit
                assert row.held >= 0
            spent = {
                row.id: row.spent
                for row in connection.execute(select(tables.items.c.id, tables.items.c.spent))
            }
            everything = connection.execute(
                select(tables.balances.c.spent).where(tables.balances.c.scope == "everything")
            ).scalar()
        assert (everything or 0) == sum(self.charged.values())
        charged = Counter[str]()
        for (item_id, _), cost in self.charged.items():
            charged[item_id] += cost
        for item_id, cost in spent.items():
            assert cost == charged[item_id]
            most = self.most[item_id]
            assert most is None or cost <= most

    def teardown(self) -> None:
        try:
            self.now += 10**12
            while self._expire(State.DEAD):
                pass
            with self.ledger.read() as connection:
                held = connection.execute(select(func.sum(tables.balances.c.held))).scalar()
            assert not held, "after quiet, nothing is held"
        finally:
            self.clock.undo()
            self.ledger.close()
            shutil.rmtree(self.folder)


def test_no_order_of_moves_breaks_a_promise(migrated_sqlite: Path) -> None:
    LedgerMachine.migrated = migrated_sqlite
    LedgerMachine.TestCase.settings = settings(
        max_examples=50,
        stateful_step_count=50,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    LedgerMachine.seen.clear()
    LedgerMachine.TestCase().runTest()
    # A walk that never met what it is to judge has judged nothing.
    for met in (
        "claimed again",
        "waited for others' holds",
        "stale while an heir ran",
        "corrected",
        "decided",
    ):
        assert LedgerMachine.seen[met], met
