"""What is ready, waits and runs: counted, with its age, at a cost that a backlog does not raise."""

import pytest
from sqlalchemy import insert

from tests.ledger.placed import balance, place
from tests.ledger.plans import plans_of, reads_of_every_item
from tierqueue.ledger.in_force import pauses
from tierqueue.ledger.monitoring import backlog, endings, progress
from tierqueue.ledger.monitoring.backlog import Backlog
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import attempts

SECOND = 1_000_000


def ready(ledger: Ledger) -> dict[str, Backlog]:
    with ledger.read() as connection:
        return backlog.ready(connection, database_now(connection), pauses.in_force(connection))


def test_more_than_are_counted_is_said_to_be_more(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        place(ledger, "routed")
    assert (ready(ledger)["gpu"].ready, ready(ledger)["gpu"].more) == (3, False)
    monkeypatch.setattr(backlog, "COUNTED", 2)
    assert (ready(ledger)["gpu"].ready, ready(ledger)["gpu"].more) == (2, True)


def test_what_was_sent_and_not_claimed_is_ready_too(ledger: Ledger) -> None:
    at = ledger.now()
    place(ledger, "queued", submitted_at=at - 40 * SECOND)
    place(ledger, "routed", ready_at=at - 10 * SECOND)
    [gpu] = [ready(ledger)["gpu"]]
    assert gpu.ready == 2
    assert 40 <= gpu.oldest_seconds < 50


@pytest.mark.parametrize(
    ("kind", "name", "left"),
    [("tier", "gpu", {}), ("budget", "acme", {"gpu": 1}), ("task", "tierqueue.complete", {})],
)
def test_what_is_paused_is_not_ready(
    ledger: Ledger, kind: str, name: str, left: dict[str, int]
) -> None:
    place(ledger, "routed", budget="acme")
    place(ledger, "routed", budget="other")
    with ledger.write() as connection:
        pauses.pause(connection, kind, name, "ada")
    assert {tier: backlog_.ready for tier, backlog_ in ready(ledger).items()} == left


def test_items_that_wait_are_told_apart_by_what_they_wait_for(ledger: Ledger) -> None:
    full = balance(ledger, "budget", "a b:c", "day", "2026-11-20")
    place(ledger, "waiting", reason="outage")
    # What it waited for before says nothing of what it waits for now.
    place(ledger, "waiting", reason="outage", ceiling=full.id)
    place(ledger, "waiting", reason="ceiling", ceiling=full.id, bound=7)
    place(ledger, "waiting", reason="ceiling", ceiling=full.id, bound=9)
    first = ledger.now() - 40 * SECOND
    place(ledger, "waiting", reason=None, tier=None, deployment=None, submitted_at=first)
    with ledger.read() as connection:
        found = backlog.waiting(connection, database_now(connection))
    assert {(group.code, group.ceiling, group.items, group.least) for group in found} == {
        ("outage", None, 2, 0),
        ("ceiling", full, 2, 7),
        ("unsaid", None, 1, 0),
    }
    [oldest] = [group.oldest_seconds for group in found if group.code == "unsaid"]
    assert 40 <= oldest < 50


def test_what_workers_of_the_release_before_wrote_is_read_as_the_same_codes(
    ledger: Ledger,
) -> None:
    full = balance(ledger, "budget", "a b", "day", "2026-11-20")
    place(ledger, "waiting", reason="ceiling", ceiling=full.id, bound=7)
    place(ledger, "waiting", reason=f"ceiling {full.id}", bound=5)
    place(ledger, "waiting", reason="requests_per_minute, in_flight")
    place(ledger, "waiting", reason="requests_per_minute")
    place(ledger, "waiting", reason="deployment not served here")
    place(ledger, "waiting", reason="its worker has another policy")
    with ledger.read() as connection:
        found = backlog.waiting(connection, database_now(connection))
    assert {(group.code, group.ceiling, group.items, group.least) for group in found} == {
        ("ceiling", full, 2, 5),
        ("requests_per_minute", None, 2, 0),
        ("not_served", None, 1, 0),
        ("other_policy", None, 1, 0),
    }


def test_calls_in_flight_are_told_with_the_age_of_the_oldest(ledger: Ledger) -> None:
    at = ledger.now()
    row = {"tier": "gpu", "deployment": "house", "worker": "w", "metered": False, "balances": []}
    with ledger.write() as connection:
        for fence, began in enumerate((at - 9 * SECOND, at - SECOND)):
            call = {**row, "item_id": "i", "fence": fence, "held": 0, "started_at": began}
            connection.execute(insert(attempts), call)
    with ledger.read() as connection:
        [running] = backlog.running(connection, ledger.now())
    assert (running.tier, running.deployment, running.calls) == ("gpu", "house", 2)
    assert 9 <= running.oldest_seconds < 19


def test_no_look_reads_the_whole_table_of_items(sqlite_url: str) -> None:
    ledger = Ledger(sqlite_url)
    with plans_of(ledger) as plans, ledger.read() as connection:
        progress.snapshot(connection)
        endings.toll(connection, 1)
        endings.lately(connection)
    ledger.close()
    assert reads_of_every_item(plans) == []
