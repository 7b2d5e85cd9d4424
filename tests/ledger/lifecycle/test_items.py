"""How items come in: once, whatever is delivered twice."""

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from tests.ledger.moves import SECOND, Moves, new_item, promise_of
from tests.ledger.placed import commit
from tierqueue.ledger import tables
from tierqueue.ledger.lifecycle import items, routes
from tierqueue.ledger.lifecycle.items import new_id, submit
from tierqueue.ledger.monitoring import outset
from tierqueue.ledger.results import promises
from tierqueue.ledger.session import Ledger
from tierqueue.router.errors import InvalidItem
from tierqueue.router.lifecycle import State, Wait

if TYPE_CHECKING:
    from tests.ledger.conftest import Everywhere


def _count(ledger: Ledger) -> int:
    with ledger.read() as connection:
        return int(connection.execute(select(func.count()).select_from(tables.items)).scalar_one())


def test_a_submitted_item_is_there_with_its_promise(moves: Moves) -> None:
    new = new_item(priority=3, metadata={"ticket": 7})
    promise = promise_of(new.id)
    with moves.ledger.write() as connection:
        assert submit(connection, new, promise) == new.id
    row = moves.row(new.id)
    assert (row.state, row.fence, row.priority, row.metadata) == ("submitted", 0, 3, {"ticket": 7})
    with moves.ledger.read() as connection:
        assert promises.unfulfilled(connection, [new.id]) == [promise]


def test_a_call_delivered_twice_is_one_item(moves: Moves) -> None:
    first = new_item()
    promise = promise_of(first.id)
    again = new_item()
    with moves.ledger.write() as connection:
        submit(connection, first, promise)
    with moves.ledger.write() as connection:
        assert submit(connection, again, promise._replace(item_id=again.id)) == first.id
    assert _count(moves.ledger) == 1


def test_the_same_idempotency_key_is_one_item_with_a_promise_for_each(moves: Moves) -> None:
    first, second = (new_item(idempotency_key="order-1") for _ in range(2))
    with moves.ledger.write() as connection:
        assert submit(connection, first, promise_of(first.id, "a")) == first.id
        assert submit(connection, second, promise_of(second.id, "b")) == first.id
        owed = promises.unfulfilled(connection, [first.id])
    assert sorted(promise.id for promise in owed) == ["a", "b"]
    assert _count(moves.ledger) == 1


def test_an_idempotency_key_with_other_arguments_is_refused_and_leaves_nothing(
    moves: Moves,
) -> None:
    first = new_item(idempotency_key="order-1")
    other = new_item(idempotency_key="order-1", fingerprint="another")
    with moves.ledger.write() as connection:
        submit(connection, first, None)
    with (
        pytest.raises(InvalidItem, match="belongs to item"),
        moves.ledger.write() as connection,
    ):
        submit(connection, other, promise_of(other.id, "p"))
    with moves.ledger.read() as connection:
        assert not promises.exists(connection, "p")


def test_an_item_with_a_start_in_the_future_waits_for_it(moves: Moves) -> None:
    later = moves.now() + 3_600 * SECOND
    [item_id] = moves.submit(not_before=later)
    assert moves.row(item_id).state == State.WAITING
    with moves.ledger.write() as connection:
        assert routes.wake_due(connection, later - 1) == 0
        assert outset.read(connection).due_at == later
        assert routes.wake_due(connection, later) == 1
    assert (moves.row(item_id).state, moves.row(item_id).reason) == (State.SUBMITTED, None)


def test_what_no_limit_lets_through_is_routed_anew_and_what_only_waits_is_not(moves: Moves) -> None:
    large, throttled = moves.submit(2)
    moves.route()
    fences = moves.queue()
    with moves.ledger.write() as connection:
        for item_id, why in ((large, Wait.TOKEN_LIMIT), (throttled, Wait.IN_FLIGHT)):
            routes.give_back(connection, {item_id: fences[item_id]}, moves.now() + SECOND, why)
    moves.wake()
    assert (moves.row(large).state, moves.row(throttled).state) == (State.SUBMITTED, State.ROUTED)


def test_many_items_are_submitted_at_once_and_keep_every_character(moves: Moves) -> None:
    awkward = {"text": 'null \u0000, quote ", backslash \\, emoji 🙂, percent %s %(rows)s :x'}
    many = [new_item(arguments=awkward, job_id="job", job_index=index) for index in range(100)]
    with moves.ledger.write() as connection:
        commit(connection, many)
    assert moves.row(many[99].id).arguments == awkward
    assert moves.row(many[99].id).metadata is None


def test_ids_are_unique_and_in_the_order_of_time() -> None:
    made = [new_id() for _ in range(1_000)]
    assert len(set(made)) == 1_000
    assert [item_id[:13] for item_id in made] == sorted(item_id[:13] for item_id in made)


def test_a_kept_promise_is_owed_no_more(moves: Moves) -> None:
    new = new_item()
    with moves.ledger.write() as connection:
        owed = promise_of(new.id, "p")
        submit(connection, new, owed)
        promises.note_fulfilled(connection, [owed], 5)
        promises.note_fulfilled(connection, [owed], 9)
        assert promises.unfulfilled(connection, [new.id]) == []
        row = connection.execute(select(tables.promises)).one()
    assert row.kept_at == 5


def test_a_promise_is_overdue_once_its_item_has_ended(moves: Moves) -> None:
    new = new_item()
    with moves.ledger.write() as connection:
        submit(connection, new, promise_of(new.id, "p"))
    far = moves.now() + 60 * SECOND
    with moves.ledger.read() as connection:
        assert promises.overdue(connection, far, 10) == ([], "")
    with moves.ledger.write() as connection:
        items.cancel(connection, [new.id], "ada")
    with moves.ledger.read() as connection:
        [(promise, ending)], _ = promises.overdue(connection, far, 10)
    assert (promise.id, ending.state) == ("p", "cancelled")
    assert ending.error is not None
    assert ending.error["reason"] == "cancelled"


def test_a_look_for_overdue_promises_goes_on_where_the_last_one_stopped(moves: Moves) -> None:
    made = sorted((new_item() for _ in range(5)), key=lambda item: item.id)
    with moves.ledger.write() as connection:
        for new in made:
            submit(connection, new, promise_of(new.id))
        items.cancel(connection, [made[0].id, made[3].id], "ada")
    far, after, found = moves.now() + 60 * SECOND, "", []
    with moves.ledger.read() as connection:
        for _ in range(3):
            owed, after = promises.overdue(connection, far, 2, after)
            found.append([promise.item_id for promise, _ in owed])
    assert found == [[made[0].id], [made[3].id], []]
    assert after == ""


def _submit_with_key(url: str) -> str:
    ledger = Ledger(url)
    new = new_item(idempotency_key="the same for all")
    with ledger.write() as connection:
        item_id = submit(connection, new, promise_of(new.id))
    ledger.close()
    return item_id


def test_ten_processes_with_one_idempotency_key_are_one_item(
    ledger: Ledger, ledger_url: str, everywhere: "Everywhere"
) -> None:
    ids = everywhere(_submit_with_key, [ledger_url] * 10)
    assert len(set(ids)) == 1
    assert _count(ledger) == 1
    with ledger.read() as connection:
        assert len(promises.unfulfilled(connection, ids[:1])) == 10


def test_whatever_ends_items_says_what_is_owed_for_it(moves: Moves) -> None:
    new = [new_item() for _ in range(2)]
    made = [promise_of(item.id) for item in new]
    with moves.ledger.write() as connection:
        for item, promise in zip(new, made, strict=True):
            submit(connection, item, promise)
        died = items.die(connection, [items.Death(new[0].id, "no_route", "none", {})], 1)
        cancelled = items.cancel(connection, [new[1].id], "ada")
    assert [died.owed, cancelled.owed] == [[made[0]], [made[1]]]
    assert [ending.item_id for ending in (*died.ended, *cancelled.ended)] == [
        item.id for item in new
    ]
