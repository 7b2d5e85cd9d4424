"""Ceilings under many hands: holds, settles, releases, expiries and raises at the same moment.

Several threads move money at once while another looks on; hours and days go by in between. The
books balance at every instant, no ceiling is passed by a hold, and at the end nothing is held.
"""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sqlalchemy import event, func, select

from tests.ledger.moves import SECOND, ceiling
from tierqueue.ledger.ceilings import books
from tierqueue.ledger.ceilings.books import Entry, Hold, Need, Shortfall
from tierqueue.ledger.ceilings.windows import window_start
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import balances, entries

HOUR = 3_600 * SECOND
HANDS = 4

share = st.integers(0, 100)
which = st.integers(0, 99)
one_need = st.tuples(st.integers(1, 15), st.integers(0, 200))
an_act = st.one_of(
    st.tuples(st.just("hold"), st.lists(one_need, min_size=1, max_size=3), st.just(0)),
    st.tuples(st.just("settle"), which, share),
    st.tuples(st.just("overage"), which, share),
    st.tuples(st.just("release"), which, st.just(0)),
    st.tuples(st.just("expire"), which, st.just(0)),
    st.tuples(st.just("raise"), st.integers(0, 2), share),
)


class OpenHold:
    """One hold that stands: its entry's key, its bound and the balances it was made in."""

    def __init__(self, need: Need, ids: tuple[str, ...]) -> None:
        self.need, self.ids = need, ids


class Books(RuleBasedStateMachine):
    """A ledger's ceilings; beside it, what each balance must say."""

    ledger: ClassVar[Ledger]
    pool: ClassVar[ThreadPoolExecutor]
    numbers: ClassVar[Any] = count()
    seen: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        # Names of its own: the database is shared by all examples.
        mine = f"x{next(self.numbers)}"
        self.now = 1_800_000_000 * SECOND
        self.scopes = [("budget", f"{mine}-a"), ("budget", f"{mine}-b"), ("provider", mine)]
        windows = ["total", "hour", "day"]
        zones = ["UTC", "UTC", "Europe/Berlin"]
        self.limits = dict(zip(self.scopes, (500, 300, 400), strict=True))
        self.terms = dict(zip(self.scopes, zip(windows, zones, strict=True), strict=True))
        for scope in self.scopes:
            self._put(scope)
        self.open: list[OpenHold] = []
        self.items = count()
        self.spent: Counter[str] = Counter()
        self.over: Counter[str] = Counter()

    def _put(self, scope: tuple[str, str]) -> None:
        window, timezone = self.terms[scope]
        limit = ceiling(
            scope[0], self.limits[scope], name=scope[1], window=window, timezone=timezone
        )
        with self.ledger.write() as connection:
            books.put(connection, limit, by="ada", now=self.now)

    @rule(acts=st.lists(an_act, min_size=1, max_size=HANDS))
    def together(self, acts: list[tuple[str, Any, int]]) -> None:
        """Up to four hands at once, and a fifth that watches."""
        jobs: list[Callable[[], None]] = []
        for what, about, amount in acts:
            if what == "hold":
                jobs.append(self._holding(about))
            elif what == "raise":
                scope = self.scopes[about]
                self.limits[scope] += amount
                jobs.append(lambda scope=scope: self._put(scope))  # type: ignore[misc]
            elif self.open:
                hold = self.open.pop(about % len(self.open))
                bound = hold.need.bound
                cost = {
                    "settle": bound * amount // 100,
                    "overage": bound + amount,
                    "release": 0,
                    "expire": bound,
                }[what]
                jobs.append(self._closing(hold, cost))
        ready = threading.Barrier(len(jobs) + 1)
        done = threading.Event()

        def at_once(job: Callable[[], None]) -> None:
            ready.wait(10)
            job()

        watching = self.pool.submit(self._watch, done)
        working = [self.pool.submit(at_once, job) for job in jobs]
        ready.wait(10)
        try:
            for claim in working:
                claim.result(30)
        finally:
            done.set()
            watching.result(30)

    def _holding(self, wanted: list[tuple[int, int]]) -> Callable[[], None]:
        needs = [
            Need(
                item_id=f"{self.scopes[2][1]}-{next(self.items)}",
                fence=1,
                bound=bound,
                scopes=[scope for at, scope in enumerate(self.scopes) if mask >> at & 1]
                or [("tier", "uncovered")],
            )
            for mask, bound in wanted
        ]

        def hold() -> None:
            with self.ledger.write() as connection:
                decisions = books.hold(connection, self.now, needs)
            for need, decision in zip(needs, decisions, strict=True):
                match decision:
                    case Hold(ids):
                        assert len(ids) == len([s for s in need.scopes if s in self.scopes])
                        self.open.append(OpenHold(need, ids))
                        self.seen["held"] += 1
                    case Shortfall() as full:
                        assert full.needed == need.bound
                        assert full.spent + full.held + full.needed > full.limit, "timid"
                        self.seen["hopeless" if full.hopeless else "full of holds"] += 1

        return hold

    def _closing(self, hold: OpenHold, cost: int) -> Callable[[], None]:
        kind = "settle" if cost else "release"
        need = hold.need
        for key in hold.ids:
            self.spent[key] += cost
            self.over[key] += max(0, cost - need.bound)
            rolled = window_start(key.rsplit(":", 2)[1], "UTC", self.now)
            self.seen["settled in a window gone by"] += ":hour:" in key and rolled not in key

        def close() -> None:
            written = [
                Entry(key, need.item_id, need.fence, kind, -need.bound, cost) for key in hold.ids
            ]
            with self.ledger.write() as connection:
                books.write(connection, self.now, written)

        return close

    def _watch(self, done: threading.Event) -> None:
        while not done.is_set():
            self._balanced()
            done.wait(0.002)

    def _balanced(self) -> dict[str, Any]:
        """Every balance of this example, each the sum of its entries and within its limit."""
        found = (
            select(
                balances,
                func.coalesce(func.sum(entries.c.held), 0).label("held_sum"),
                func.coalesce(func.sum(entries.c.spent), 0).label("spent_sum"),
            )
            .outerjoin(entries, entries.c.balance_id == balances.c.id)
            .where(balances.c.name.in_([name for _, name in self.scopes]))
            .group_by(balances.c.id)
        )
        # One statement, and so one instant.
        with self.ledger.read() as connection:
            rows = connection.execute(found).all()
        for row in rows:
            assert (row.held, row.spent) == (int(row.held_sum), int(row.spent_sum))
            assert row.held >= 0
            assert row.spent >= 0
            limit = self.limits[row.scope, row.name] + self.over[row.id]
            assert row.held + row.spent <= row.peak <= limit
        return {row.id: row for row in rows}

    @rule(hours=st.sampled_from([1, 5, 30]))
    def time_goes_by(self, hours: int) -> None:
        """An hour or a day ends; what was held in it stays there."""
        self.now += hours * HOUR

    @invariant()
    def every_balance_is_what_was_held_and_spent(self) -> None:
        held: Counter[str] = Counter()
        for hold in self.open:
            for key in hold.ids:
                held[key] += hold.need.bound
        for key, row in self._balanced().items():
            assert (row.held, row.spent) == (held[key], self.spent[key])

    def teardown(self) -> None:
        for hold in self.open:
            self._closing(hold, 0)()
        self.open.clear()
        assert all(row.held == 0 for row in self._balanced().values())


@pytest.mark.long
def test_many_hands_at_once_never_pass_a_ceiling_and_leave_nothing_held(ledger: Ledger) -> None:
    if ledger.dialect == "sqlite":
        # No crash is simulated here, so nothing has to reach the disk.
        event.listen(
            ledger.engine,
            "connect",
            lambda connection, _: connection.execute("PRAGMA synchronous = OFF"),
        )
    Books.ledger = ledger
    Books.seen.clear()
    Books.TestCase.settings = settings(
        max_examples=25,
        stateful_step_count=20,
        deadline=None,
        database=None,
        # What threads do is not the same twice: a shorter example would prove nothing.
        phases=[Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    with ThreadPoolExecutor(HANDS + 1) as Books.pool:
        Books.TestCase().runTest()
    # A walk that never met what it is to judge has judged nothing.
    for met in ("held", "full of holds", "hopeless", "settled in a window gone by"):
        assert Books.seen[met], met
