"""Bytes that items carry: once each, and gone with the last item that has them."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import func, select

from tests.ledger.placed import place
from tierqueue.ledger.contents import content_store
from tierqueue.ledger.contents.content_store import Content
from tierqueue.ledger.operations import erasure
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import contents
from tierqueue.router.errors import InvalidItem
from tierqueue.router.lifecycle import State

FAR = 2**60


def content(body: bytes) -> Content:
    return Content(hashlib.sha256(body).hexdigest(), body)


RED, BLUE = content(b"red"), content(b"blue")


def carry(ledger: Ledger, *carried: Content, state: str = "succeeded") -> str:
    item_id = place(ledger, state)
    with ledger.write() as connection:
        content_store.write(connection, {item_id: carried}, 1)
    return item_id


def there(ledger: Ledger) -> dict[str, bytes]:
    with ledger.read() as connection:
        return content_store.read(connection, [RED.sha256, BLUE.sha256])


def how_many(ledger: Ledger) -> Any:
    with ledger.read() as connection:
        return connection.execute(select(func.count()).select_from(contents)).scalar_one()


def test_what_many_items_carry_is_kept_once(ledger: Ledger) -> None:
    for _ in range(3):
        carry(ledger, RED, BLUE, RED)
    assert there(ledger) == {RED.sha256: b"red", BLUE.sha256: b"blue"}
    assert how_many(ledger) == 2


def test_it_is_gone_with_the_last_item_that_is_erased(ledger: Ledger) -> None:
    first, second = carry(ledger, RED, BLUE), carry(ledger, RED)
    with ledger.write() as connection:
        erasure.erase(connection, [first], by="me", why="asked")
    assert there(ledger) == {RED.sha256: b"red"}
    with ledger.write() as connection:
        erasure.erase(connection, [second], by="me", why="asked")
    assert how_many(ledger) == 0


def test_it_is_gone_by_retention_too(ledger: Ledger) -> None:
    carry(ledger, RED)
    with ledger.write() as connection:
        assert erasure.expire(connection, [State.SUCCEEDED], FAR, 10) == 1
    assert how_many(ledger) == 0


def test_what_runs_keeps_it_while_others_are_erased(ledger: Ledger) -> None:
    ended = carry(ledger, RED)
    carry(ledger, RED, state="running")
    with ledger.write() as connection:
        erasure.erase(connection, [ended], by="me", why="asked")
    assert there(ledger) == {RED.sha256: b"red"}


def test_what_is_kept_can_be_named_alone_and_what_is_not_cannot(ledger: Ledger) -> None:
    carry(ledger, RED)
    carry(ledger, RED._replace(body=None))
    with pytest.raises(InvalidItem, match="is not kept here"):
        carry(ledger, BLUE._replace(body=None))


def erase(ledger: Ledger, item_id: str) -> None:
    with ledger.write() as connection:
        erasure.erase(connection, [item_id], by="me", why="asked")


def beside(do: Callable[[], Any]) -> Callable[[], None]:
    """Something that another process does meanwhile; returns what waits for its end."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(do)

    def ended() -> None:
        future.result(60)
        pool.shutdown()

    return ended


def test_who_comes_to_carry_what_is_just_being_dropped_has_it(ledger: Ledger) -> None:
    ended = carry(ledger, RED)
    with ledger.write() as dropping:
        erasure.erase(dropping, [ended], by="me", why="asked")
        carried = beside(lambda: carry(ledger, RED))
    carried()
    assert there(ledger) == {RED.sha256: b"red"}


def test_what_somebody_is_just_coming_to_carry_is_not_dropped(ledger: Ledger) -> None:
    ended, new = carry(ledger, RED), place(ledger, "submitted")
    with ledger.write() as keeping:
        content_store.write(keeping, {new: [RED]}, 2)
        erased = beside(lambda: erase(ledger, ended))
    erased()
    assert there(ledger) == {RED.sha256: b"red"}
