"""Ended leases and passed deadlines are found, and a ledger that was away is no worker's fault."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from sqlalchemy.exc import OperationalError

from tests.ledger.moves import WORKER, Moves
from tests.ledger.placed import column, place
from tests.ledger.plans import plans_of, reads_of_every_item
from tierqueue.ledger.results.promises import Ends
from tierqueue.ledger.session import Ledger, Transaction
from tierqueue.router.policy.policy import Policy
from tierqueue.workers.maintenance.expiry import Expiry


class Clock:
    """Seconds that pass when the test says so."""

    seconds = 1_000.0

    def monotonic(self) -> float:
        return self.seconds


class Told:
    """The ids of the items that each call told of."""

    def __init__(self) -> None:
        self.ids: list[list[str]] = []

    def __call__(self, ends: Ends) -> None:
        self.ids.append([ending.item_id for ending in ends.ended])


def expiry_on(ledger: Ledger, told: Told) -> Expiry:
    return Expiry(
        ledger=ledger,
        policy=Policy(digest="d"),
        lease_seconds=10.0,
        ended=told,
        checkpoint=lambda _: None,
    )


def lapsed(ledger: Ledger) -> str:
    """A running item whose lease has ended."""
    moves = Moves(ledger)
    (held,) = moves.claim(moves.ready(), by=replace(WORKER, lease_us=-1)).claimed
    return str(held.item.id)


@contextmanager
def _away() -> Iterator[Transaction]:
    raise OperationalError("", {}, Exception("the server is away"))
    yield


def test_after_the_ledger_was_away_workers_have_half_a_lease_to_say_that_they_live(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("tierqueue.workers.maintenance.expiry.time", clock)
    expiry, item = expiry_on(ledger, Told()), lapsed(ledger)
    with monkeypatch.context() as outage:
        outage.setattr(ledger, "write", _away)
        expiry.tick()
        clock.seconds += 6
        expiry.tick()
    for passed in (0, 4.9):
        clock.seconds += passed
        expiry.tick()
        assert column(ledger, item, "state") == "running"
    clock.seconds += 0.2
    expiry.tick()
    assert column(ledger, item, "state") != "running"


def test_a_moment_without_the_ledger_spares_nobody(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    expiry, item = expiry_on(ledger, Told()), lapsed(ledger)
    with monkeypatch.context() as outage:
        outage.setattr(ledger, "write", _away)
        expiry.tick()
    expiry.tick()
    assert column(ledger, item, "state") != "running"


def test_what_goes_wrong_with_deadlines_holds_up_no_lease(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    expiry, item = expiry_on(ledger, Told()), lapsed(ledger)

    def broken(*_: object) -> None:
        raise ValueError("broken")

    monkeypatch.setattr("tierqueue.workers.maintenance.expiry.end_overdue", broken)
    expiry.tick()
    assert column(ledger, item, "state") != "running"


def test_the_stage_is_told_once_of_what_ended_or_is_ready_again_and_never_of_nothing(
    ledger: Ledger,
) -> None:
    told = Told()
    expiry = expiry_on(ledger, told)
    expiry.tick()
    assert told.ids == []
    lapsed(ledger)
    late = place(ledger, "waiting", deadline=1)
    expiry.tick()
    expiry.tick()
    assert sorted(told.ids) == [[], [late]]


def test_no_part_of_a_tick_reads_every_item(sqlite_url: str) -> None:
    ledger = Ledger(sqlite_url)
    with plans_of(ledger) as plans:
        expiry_on(ledger, Told()).tick()
    ledger.close()
    assert reads_of_every_item(plans) == []
