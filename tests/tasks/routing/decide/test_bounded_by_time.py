"""Where an engine's hours count: a call is bounded by how long such calls took, and no ceiling is
ever passed, however long one takes.
"""

from fractions import Fraction

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from tests.ledger.moves import ceiling
from tests.tasks.routing.decide.test_attributed import A_SECOND, accepted, way
from tests.tasks.routing.decide.way import Way
from tierqueue.ledger.accounting import audit
from tierqueue.ledger.ceilings import books
from tierqueue.ledger.ceilings.status import ceiling_statuses
from tierqueue.ledger.in_force import evidence
from tierqueue.ledger.in_force.evidence import JudgedAnswer
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import attempts
from tierqueue.router.outcome import ENGINE_TIME, Accepted, Interrupted, Outcome, Usage
from tierqueue.router.pricing import CUT_SECONDS, engine_seconds
from tierqueue.router.selection.call_seconds import ENOUGH

WHOLE = 61 * A_SECOND
"""Nano-dollars that are held of the timeout."""


def took(ledger: Ledger, *seconds: float) -> None:
    """So many answers of the house came, each in so many seconds."""
    with ledger.write() as connection:
        evidence.add(
            connection, [JudgedAnswer("ticket", "house", True, 9, 9, s, True) for s in seconds]
        )


def figures(ledger: Ledger) -> tuple[int, int]:
    """What the ceiling has spent and what it holds."""
    with ledger.read() as connection:
        assert audit.audit(connection) == []
        [found] = ceiling_statuses(connection, database_now(connection))
    return found.spent, found.held


def called(way: Way, wanted: float, late: float = 0.0) -> Outcome | None:
    """An item whose call would take ``wanted`` seconds of the engine, and ``late`` ones more to end
    where it is ended; ``None``: it could not be held.
    """
    claim = way.claim()
    if claim is None:
        return None
    may = engine_seconds(way.policy.deployments["house"], claim.held)
    outcome: Outcome = accepted(Usage(engine_seconds=wanted))
    if wanted > may:
        outcome = Interrupted(kind=ENGINE_TIME, usage=Usage(engine_seconds=may + late))
    way.settle(claim, outcome)
    return outcome


def _used(outcome: Outcome) -> Usage:
    if isinstance(outcome, Accepted):
        return outcome.completed.usage
    assert isinstance(outcome, Interrupted)
    return outcome.usage


def test_before_enough_answers_the_whole_timeout_is_held(ledger: Ledger) -> None:
    one = way(ledger, "everything")
    took(ledger, *[0.01] * (ENOUGH - 1))
    one.submit()
    claim = one.claim()
    assert claim is not None
    assert claim.held == WHOLE
    assert engine_seconds(one.policy.deployments["house"], claim.held) > 60


def test_after_enough_answers_a_call_is_bounded_by_how_long_they_took(ledger: Ledger) -> None:
    one = way(ledger, "everything")
    took(ledger, *[0.5] * ENOUGH)
    one.stage.start()
    one.submit()
    claim = one.claim()
    assert claim is not None
    assert claim.held == (1 + CUT_SECONDS) * A_SECOND
    assert any("at most 1 s of it" in reason for reason in one.column("route")["reasons"])
    assert engine_seconds(one.policy.deployments["house"], claim.held) == 1.0


def test_where_nobody_counts_them_nothing_is_cut(ledger: Ledger) -> None:
    one = way(ledger, "cash")
    took(ledger, *[0.5] * ENOUGH)
    one.stage.start()
    one.submit()
    claim = one.claim()
    assert claim is not None
    assert claim.held == WHOLE
    assert "measured" not in one.column("route")


def test_a_call_that_was_ended_for_its_time_is_made_again_with_all_of_it(ledger: Ledger) -> None:
    one = way(ledger, "everything")
    took(ledger, *[0.5] * ENOUGH)
    one.stage.start()
    one.submit()
    assert isinstance(called(one, 30.0), Interrupted)
    assert (one.column("state"), one.column("reason")) == ("submitted", ENGINE_TIME)
    assert (one.column("calls"), one.column("spent")) == (1, A_SECOND)
    claim = one.claim()
    assert claim is not None
    assert claim.held == WHOLE
    one.settle(claim, accepted(Usage(engine_seconds=30.0)))
    assert figures(ledger) == (31 * A_SECOND, 0)


def test_a_worker_that_stood_still_while_it_called_passes_no_ceiling(ledger: Ledger) -> None:
    one = way(ledger, "everything")
    took(ledger, *[0.5] * ENOUGH)
    one.stage.start()
    one.submit()
    claim = one.claim()
    assert claim is not None
    one.settle(claim, accepted(Usage(engine_seconds=5.0)))
    assert figures(ledger) == (claim.held, 0)
    with ledger.read() as connection:
        usage = connection.execute(select(attempts.c.usage)).scalar_one()
    assert usage["engine_seconds"] == 5.0


@pytest.mark.long
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    history=st.lists(st.sampled_from([0.003, 0.2, 1.0, 4.0]), min_size=1, max_size=4),
    calls=st.lists(
        st.tuples(st.floats(0, 59), st.floats(0, float(CUT_SECONDS))), min_size=1, max_size=12
    ),
    limit=st.sampled_from(["0.07", "0.1", "0.2"]),
)
def test_no_ceiling_is_passed_however_long_calls_take_and_all_they_take_is_booked(
    ledger: Ledger, history: list[float], calls: list[tuple[float, float]], limit: str
) -> None:
    one = way(ledger, "everything", limit)
    before, _ = figures(ledger)
    most = round(Fraction(limit) * 10**9) + before
    took(ledger, *(history * ENOUGH)[:ENOUGH])
    with ledger.write() as connection:
        books.put(connection, ceiling("everything", most), by="ada", now=1)
    one.stage.start()
    spent = before
    for wanted, late in calls:
        one.submit()
        while (outcome := called(one, wanted, late)) is not None:
            usage = _used(outcome)
            spent += -(-Fraction(usage.engine_seconds) * A_SECOND // 1)
            now, held = figures(ledger)
            assert (now, held) == (spent, 0)
            assert now <= most
            event("ended for its time" if isinstance(outcome, Interrupted) else "answered")
        event(f"an item ends as {one.column('state')}")
