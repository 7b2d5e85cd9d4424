"""Batches as people are shown them: the newest first, each with what became of its items."""

from sqlalchemy import insert

from tests.ledger.moves import WORKER, Moves
from tests.ledger.placed import place
from tierqueue.ledger.lifecycle.batches import Batch
from tierqueue.ledger.operations import batch_list
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import attempts, batches
from tierqueue.router.lifecycle import State


def a_batch(ledger: Ledger, name: str, formed_at: int, ended_at: int | None = None) -> None:
    row = {column.name: None for column in batches.columns if column.nullable}
    fixed = {"id": name, "deployment": WORKER.deployment, "formed_at": formed_at}
    zeros = {
        column.name: 0
        for column in batches.columns
        if not column.nullable and column.name not in fixed and column.server_default is None
    }
    with ledger.write() as connection:
        connection.execute(insert(batches), {**row, **zeros, **fixed, "ended_at": ended_at})


def names(found: list[Batch]) -> list[str]:
    return [batch.id for batch in found]


def test_the_newest_come_first_and_those_that_are_over_may_be_left_out(ledger: Ledger) -> None:
    for number, name in enumerate(("a", "b", "c")):
        a_batch(ledger, name, number, ended_at=9 if name == "b" else None)
    with ledger.read() as connection:
        assert names(batch_list.newest(connection, 2, open_only=False)) == ["c", "b"]
        assert names(batch_list.newest(connection, 9, open_only=True)) == ["c", "a"]


def test_of_ids_that_begin_alike_the_whole_one_comes_first(ledger: Ledger) -> None:
    for name in ("b12", "b1", "b%", "c1"):
        a_batch(ledger, name, 1)
    with ledger.read() as connection:
        assert names(batch_list.starting(connection, "b1", 9)) == ["b1", "b12"]
        assert names(batch_list.starting(connection, "b%", 9)) == ["b%"]
        assert len(batch_list.starting(connection, "b", 2)) == 2


def test_a_batch_shows_its_own_calls_and_where_their_items_are_now(moves: Moves) -> None:
    ledger = moves.ledger
    accepted, again, elsewhere = (
        place(ledger, "succeeded"),
        place(ledger, "running"),
        place(ledger, "running"),
    )
    call = {"tier": "gpu", "deployment": "d", "provider": "v", "worker": "w", "metered": True}
    fixed = {**call, "balances": [], "held": 0, "started_at": 1}
    rows = [
        {"item_id": accepted, "fence": 1, "batch": "b", "outcome": "accepted", "cost": 70},
        {"item_id": again, "fence": 1, "batch": "b", "outcome": "expired", "cost": None},
        {"item_id": again, "fence": 2, "batch": None, "outcome": "accepted", "cost": 900},
        {"item_id": elsewhere, "fence": 1, "batch": "c", "outcome": "accepted", "cost": 900},
    ]
    with ledger.write() as connection:
        connection.execute(insert(attempts), [{**fixed, **row} for row in rows])
    with ledger.read() as connection:
        lines = {line.item_id: line[1:] for line in batch_list.items_of(connection, "b", 9)}
        assert lines == {
            accepted: ("accepted", 70, State.SUCCEEDED),
            again: ("expired", None, State.RUNNING),
        }
        assert batch_list.cost_of(connection, "b") == 70
        assert batch_list.cost_of(connection, "none") == 0
