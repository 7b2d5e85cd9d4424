"""Pauses hold work back in the ledger, and nothing else."""

import pytest
from sqlalchemy import insert

from tests.ledger.placed import column, place
from tierqueue.ledger import audit_log
from tierqueue.ledger.in_force import pauses
from tierqueue.ledger.lifecycle import routes
from tierqueue.ledger.lifecycle.claims import Claimant, claim, read
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import jobs
from tierqueue.router.errors import InvalidItem


def _pause(ledger: Ledger, kind: str, name: str) -> bool:
    with ledger.write() as connection:
        return pauses.pause(connection, kind, name, "ada")


def _queue(ledger: Ledger) -> set[str]:
    with ledger.write() as connection:
        paused = pauses.in_force(connection)
        again = database_now(connection) + 1_000_000
        return {item.id for item in routes.queue(connection, "gpu", {"": 10}, again, paused)}


def _job(ledger: Ledger, name: str) -> None:
    with ledger.write() as connection:
        connection.execute(
            insert(jobs).values(
                id=name, task="t", source="s", submitted_at=0, complete=False, total=0
            )
        )


@pytest.mark.parametrize(
    ("kind", "name", "columns"),
    [
        ("tier", "gpu", {}),
        ("task", "tierqueue.extract", {"task": "tierqueue.extract"}),
        ("budget", "acme", {"budget": "acme"}),
        ("job", "job-1", {"job_id": "job-1", "job_index": 0}),
    ],
)
def test_what_is_paused_stays_routed_until_it_is_resumed(
    ledger: Ledger, kind: str, name: str, columns: dict[str, object]
) -> None:
    _job(ledger, "job-1")
    paused = place(ledger, "routed", **columns)
    other = place(ledger, "routed")
    assert _pause(ledger, kind, name)
    assert not _pause(ledger, kind, name)
    assert _queue(ledger) == (set() if kind == "tier" else {other})
    assert column(ledger, paused, "state") == "routed"
    with ledger.write() as connection:
        assert pauses.resume(connection, kind, name, "ada")
        assert not pauses.resume(connection, kind, name, "ada")
    assert paused in _queue(ledger)


def test_an_item_queued_when_its_budget_is_paused_cannot_be_claimed_any_more(
    ledger: Ledger,
) -> None:
    waiting = place(ledger, "queued", budget="acme")
    running = place(ledger, "running", budget="acme", fence=1, lease_until=2**60)
    _pause(ledger, "budget", "acme")
    claimant = Claimant(
        worker="w", tier="gpu", deployment="house", provider="p", metered=False, lease_us=1_000_000
    )
    with ledger.write() as connection:
        known = read(connection, [waiting])
        claims = claim(connection, claimant, {waiting: 0}, known, database_now(connection))
    assert (claims.claimed, claims.stale) == ([], 1)
    assert column(ledger, waiting, "state") == "routed"
    assert column(ledger, running, "state") == "running"


def test_who_paused_what_is_on_record(ledger: Ledger) -> None:
    _pause(ledger, "budget", "acme")
    with ledger.write() as connection:
        pauses.resume(connection, "budget", "acme", "bob")
    with ledger.read() as connection:
        said = [(row.by, row.what, row.detail) for row in audit_log.newest(connection, 5)]
    detail = {"kind": "budget", "name": "acme"}
    assert said == [("bob", "resume", detail), ("ada", "pause", detail)]


@pytest.mark.parametrize(("kind", "name"), [("tier", "gpuu"), ("job", "none"), ("weather", "x")])
def test_what_is_not_there_cannot_be_paused(ledger: Ledger, kind: str, name: str) -> None:
    with pytest.raises(InvalidItem):
        _pause(ledger, kind, name)
