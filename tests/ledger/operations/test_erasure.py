"""Payloads go, by an erasure or once they are old; receipts and books stay."""

from typing import Any

import pytest
from sqlalchemy import insert, select

from tests.ledger.placed import column, place
from tierqueue.ledger import audit_log
from tierqueue.ledger.operations import dead_letters, erasure, raw_messages
from tierqueue.ledger.results.promises import Promise, make_once
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import attempts, items, promises
from tierqueue.ledger.tables import raw_messages as raw_table
from tierqueue.router.item import Tier
from tierqueue.router.lifecycle import State

DAY = 86_400_000_000
PAYLOADS = ("arguments", "output", "metadata", "error", "idempotency_key")


def _now(ledger: Ledger) -> int:
    with ledger.read() as connection:
        return database_now(connection)


def _whole(ledger: Ledger, state: str, **columns: Any) -> str:
    """An item with everything that can say what it was about, its promise and its attempt."""
    item_id = place(
        ledger,
        state,
        arguments={"prompt": "my secret"},
        output={"text": "a secret"} if state == "succeeded" else None,
        receipt={"cost": "0.01"},
        metadata={"customer": 4711, "vip": True},
        error={"reason": "rejected", "message": "a secret", "fields": {}},
        idempotency_key=f"key-{_now(ledger)}",
        spent=10,
        **columns,
    )
    promise = Promise(id=f"p-{item_id}", item_id=item_id, task="t", callbacks=[{"args": ["x"]}])
    with ledger.write() as connection:
        make_once(connection, promise, 1)
        connection.execute(
            insert(attempts).values(
                item_id=item_id,
                fence=1,
                tier="gpu",
                deployment="house",
                worker="w",
                metered=True,
                balances=[],
                held=0,
                started_at=1,
                ended_at=2,
                outcome="rejected",
                cost=10,
                detail={"reasons": ["a secret"]},
            )
        )
    return item_id


def _keep(ledger: Ledger, item_id: str) -> None:
    with ledger.write() as connection:
        connection.execute(promises.update().where(promises.c.item_id == item_id).values(kept_at=1))


def _row(ledger: Ledger, item_id: str) -> Any:
    with ledger.read() as connection:
        return connection.execute(select(items).where(items.c.id == item_id)).one()


def test_an_erased_item_keeps_its_receipt_its_cost_and_nothing_that_was_said(
    ledger: Ledger,
) -> None:
    item_id, other = _whole(ledger, "succeeded"), _whole(ledger, "succeeded")
    with ledger.write() as connection:
        assert erasure.erase(connection, [item_id], "ada", "by id") == [item_id]
        assert erasure.erase(connection, [item_id], "ada", "by id") == []
    row = _row(ledger, item_id)
    assert [getattr(row, name) for name in PAYLOADS] == [None] * len(PAYLOADS)
    assert (row.fingerprint, row.receipt, row.spent, row.state) == (
        "",
        {"cost": "0.01"},
        10,
        "succeeded",
    )
    with ledger.read() as connection:
        promise = connection.execute(select(promises).where(promises.c.item_id == item_id)).one()
        assert promise.callbacks is None
        assert promise.kept_at is not None
        [attempt] = connection.execute(select(attempts).where(attempts.c.item_id == item_id))
        assert (attempt.detail, attempt.cost) == (None, 10)
        done = audit_log.newest(connection, 5)
    assert [(action.by, action.what) for action in done] == [("ada", "erase")]
    assert column(ledger, other, "arguments") == {"prompt": "my secret"}


@pytest.mark.parametrize("state", ["submitted", "routed", "queued", "running", "waiting"])
def test_an_item_that_has_not_ended_is_not_erased_yet(ledger: Ledger, state: str) -> None:
    item_id = _whole(ledger, state)
    with ledger.write() as connection:
        assert erasure.erase(connection, [item_id], "ada", "by id") == []
        assert erasure.still_going(connection, [item_id]) == [item_id]
    assert column(ledger, item_id, "arguments") is not None


def test_the_raw_message_of_an_erased_item_goes_too(ledger: Ledger) -> None:
    item_id = _whole(ledger, "dead")
    with ledger.write() as connection:
        for headers in ({"id": f"p-{item_id}"}, {"id": "another"}, {}):
            raw_messages.store(connection, queue="q", body=b"x", headers=headers, error="e")
        erasure.erase(connection, [item_id], "ada", "by id")
        left = connection.execute(select(raw_table.c.headers)).scalars().all()
    assert sorted(left, key=len) == [{}, {"id": "another"}]


@pytest.mark.parametrize(("key", "value"), [("customer", "4711"), ("vip", "true")])
def test_items_are_found_by_their_metadata_as_people_write_it(
    ledger: Ledger, key: str, value: str
) -> None:
    wanted = {_whole(ledger, "succeeded"), _whole(ledger, "queued")}
    place(ledger, "succeeded", metadata={"customer": 471, "vip": False})
    place(ledger, "succeeded", metadata=None)
    found: set[str] = set()
    last: str | None = ""
    while last is not None:
        with ledger.read() as connection:
            some, last = erasure.with_metadata(connection, key, value, last, 1)
        found |= set(some)
    assert found == wanted


def test_retention_takes_the_payloads_of_old_items_and_leaves_the_books(ledger: Ledger) -> None:
    now = _now(ledger)
    old = _whole(ledger, "succeeded", ended_at=now - 31 * DAY)
    young = _whole(ledger, "succeeded", ended_at=now - 29 * DAY)
    dead = _whole(ledger, "dead", ended_at=now - 31 * DAY)
    owed = _whole(ledger, "succeeded", ended_at=now - 31 * DAY)
    for item_id in (old, young, dead):
        _keep(ledger, item_id)
    with ledger.write() as connection:
        done = (State.SUCCEEDED, State.CANCELLED)
        assert erasure.expire(connection, done, now - 30 * DAY, 10) == 1
        assert erasure.expire(connection, done, now - 30 * DAY, 10) == 0
    assert column(ledger, old, "arguments") is None
    assert column(ledger, old, "receipt") == {"cost": "0.01"}
    for item_id in (young, dead, owed):
        assert column(ledger, item_id, "arguments") is not None


def test_a_key_whose_lifetime_has_passed_is_free_and_others_are_not(ledger: Ledger) -> None:
    now = _now(ledger)
    past = place(ledger, "succeeded", idempotency_key="a", key_expires_at=now - 1)
    future = place(ledger, "succeeded", idempotency_key="b", key_expires_at=now + DAY)
    forever = place(ledger, "succeeded", idempotency_key="c")
    with ledger.write() as connection:
        assert erasure.free_keys(connection, now, 10) == 1
    kept = [column(ledger, item_id, "idempotency_key") for item_id in (past, future, forever)]
    assert kept == [None, "b", "c"]


def test_what_was_erased_cannot_be_replayed(ledger: Ledger) -> None:
    item_id = _whole(ledger, "dead", reason="exhausted")
    with ledger.write() as connection:
        erasure.erase(connection, [item_id], "ada", "by id")
        assert dead_letters.replay(connection, [item_id], "ada") == []
    assert column(ledger, item_id, "state") == "dead"


def test_a_replay_may_raise_the_floor_and_change_the_ceiling_and_says_so(ledger: Ledger) -> None:
    low = place(ledger, "dead", reason="rejected", floor="gpu", max_cost=5, announced_at=7)
    none = place(ledger, "dead", reason="rejected", floor=None)
    high = place(ledger, "dead", reason="rejected", floor="frontier", max_cost=5)
    with ledger.write() as connection:
        back = dead_letters.replay(
            connection, [low, none, high], "ada", floor=Tier.OPEN_WEIGHT, max_cost=99
        )
        [noted] = audit_log.newest(connection, 5)
    assert set(back) == {low, none, high}
    floors = [column(ledger, item_id, "floor") for item_id in (low, none, high)]
    assert floors == ["open_weight", "open_weight", "frontier"]
    assert {column(ledger, item_id, "max_cost") for item_id in back} == {99}
    assert column(ledger, low, "announced_at") is None
    assert (noted.detail["floor"], noted.detail["max_cost"]) == ("open_weight", 99)


def test_a_replay_without_changes_keeps_floor_and_ceiling(ledger: Ledger) -> None:
    item_id = place(ledger, "dead", reason="rejected", floor="gpu", max_cost=5)
    with ledger.write() as connection:
        dead_letters.replay(connection, [item_id], "ada")
    assert (column(ledger, item_id, "floor"), column(ledger, item_id, "max_cost")) == ("gpu", 5)


def test_dead_letters_are_chosen_by_age(ledger: Ledger) -> None:
    now = _now(ledger)
    old = place(ledger, "dead", reason="rejected", ended_at=now - 8 * DAY)
    place(ledger, "dead", reason="rejected", ended_at=now)
    with ledger.read() as connection:
        wanted = dead_letters.DeadLetterQuery(before=now - 7 * DAY)
        assert [row.id for row in dead_letters.listed(connection, wanted, 10)] == [old]
