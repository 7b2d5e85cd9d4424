"""Progress as watchdogs see it: who lives, what waits and since when."""

from tests.ledger.placed import place
from tierqueue.ledger.in_force import pauses
from tierqueue.ledger.monitoring import progress
from tierqueue.ledger.monitoring.progress import Progress
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now

SECOND = 1_000_000


def _now(ledger: Ledger) -> int:
    with ledger.read() as connection:
        return database_now(connection)


def _snapshot(ledger: Ledger) -> Progress:
    with ledger.read() as connection:
        return progress.snapshot(connection)


def test_a_process_that_beats_is_alive_and_one_that_left_is_not_missed(ledger: Ledger) -> None:
    at = _now(ledger)
    for _ in range(2):
        with ledger.write() as connection:
            progress.beat(
                connection,
                "gpu@here:1",
                kind="worker",
                tier="gpu",
                detail={
                    "counts": {"stale_fences": 2},
                    "moments": {"claimed": at - 3 * SECOND},
                    "breakers_open": ["house"],
                },
            )
    [each] = _snapshot(ledger).processes
    passed = (_now(ledger) - at) / SECOND
    assert (each.kind, each.tier, each.counts) == ("worker", "gpu", {"stale_fences": 2})
    assert each.detail == {"breakers_open": ["house"]}
    assert each.silent <= passed
    assert 3 <= each.since["claimed"] <= 3 + passed
    with ledger.write() as connection:
        progress.leave(connection, "gpu@here:1")
    assert _snapshot(ledger).processes == []


def test_a_process_that_fell_silent_is_forgotten_in_the_end(ledger: Ledger) -> None:
    with ledger.write() as connection:
        progress.beat(connection, "x", kind="routing", tier=None, detail={})
        assert progress.forget_silent(connection, database_now(connection) - SECOND) == 0
        assert progress.forget_silent(connection, database_now(connection) + SECOND) == 1


def test_the_oldest_ready_item_of_each_tier_is_told_with_its_age(ledger: Ledger) -> None:
    at = _now(ledger)
    place(ledger, "routed", id="1", ready_at=at - 60 * SECOND)
    place(ledger, "routed", id="2", ready_at=at - 5 * SECOND)
    place(ledger, "routed", ready_at=0, submitted_at=at - 90 * SECOND, tier="frontier")
    place(ledger, "submitted", ready_at=at - 7 * SECOND, tier=None)
    backlog = _snapshot(ledger).backlog
    assert {name: waiting.ready for name, waiting in backlog.items()} == {
        "gpu": 2,
        "frontier": 1,
        "route": 1,
    }
    assert 60 <= backlog["gpu"].oldest_seconds < 70
    assert 90 <= backlog["frontier"].oldest_seconds < 100
    assert 7 <= backlog["route"].oldest_seconds < 17


def test_what_is_paused_is_no_backlog(ledger: Ledger) -> None:
    place(ledger, "routed", budget="acme")
    with ledger.write() as connection:
        pauses.pause(connection, "budget", "acme", "ada")
    found = _snapshot(ledger)
    assert found.backlog == {}
    assert [(pause.kind, pause.name) for pause in found.paused] == [("budget", "acme")]


def test_ended_leases_and_dead_letters_are_counted(ledger: Ledger) -> None:
    place(ledger, "running", fence=1, lease_until=_now(ledger) - SECOND)
    place(ledger, "running", fence=1, lease_until=_now(ledger) + 60 * SECOND)
    place(ledger, "dead", reason="exhausted")
    found = _snapshot(ledger)
    assert found.overdue_leases == 1
    assert found.dead == {"exhausted": 1}
