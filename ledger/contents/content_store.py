"""Contents: bytes that items carry, such as images; each is kept once, whoever carries it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete, select, update

from tierqueue.ledger.bulk import among, insert_many, upsert
from tierqueue.ledger.tables import contents, item_contents
from tierqueue.router.errors import InvalidItem


class Content(NamedTuple):
    """Bytes under the SHA-256 that names them; ``None`` where they are kept already."""

    sha256: str
    body: bytes | None


_AGAIN = (
    update(contents)
    .where(contents.c.sha256 == bindparam("known"))
    .values(kept_at=bindparam("at"))
    .returning(contents.c.sha256)
)


def write(connection: Connection, carried: Mapping[str, Sequence[Content]], at: int) -> None:
    """Keep what new items (by id) carry, in the transaction in which they are committed.

    Raises ``InvalidItem`` for a content that is named and not kept, nor given.
    """
    bodies: dict[str, bytes | None] = {}
    for item in carried.values():
        for content in item:
            bodies[content.sha256] = content.body or bodies.get(content.sha256)
    # In the order of their names, as whoever drops them locks them: a row that is written here
    # cannot be dropped before this item is there to be seen.
    for sha256 in sorted(bodies):
        if connection.execute(_AGAIN, {"known": sha256, "at": at}).first() is not None:
            continue
        body = bodies[sha256]
        if body is None:
            raise InvalidItem(f"image {sha256[:12]} is not kept here: give its bytes or its path")
        row = {"sha256": sha256, "body": body, "size": len(body), "kept_at": at}
        insert = upsert(connection, contents).values(row)
        connection.execute(
            insert.on_conflict_do_update(index_elements=["sha256"], set_={"kept_at": at})
        )
    links = [
        {"item_id": item_id, "sha256": sha256}
        for item_id, item in carried.items()
        for sha256 in sorted({content.sha256 for content in item})
    ]
    if links:
        insert_many(connection, item_contents, links)


def read(connection: Connection, hashes: Sequence[str]) -> dict[str, bytes]:
    """The bytes of those that are kept, by their hashes."""
    found = select(contents.c.sha256, contents.c.body).where(among(contents.c.sha256))
    return {row.sha256: row.body for row in connection.execute(found, {"ids": list(hashes)})}


def drop(connection: Connection, item_ids: Sequence[str]) -> None:
    """Items carry nothing any more; what nobody else carries is gone."""
    carried = delete(item_contents).where(among(item_contents.c.item_id))
    gone = connection.execute(carried.returning(item_contents.c.sha256), {"ids": list(item_ids)})
    hashes = {"ids": sorted(set(gone.scalars()))}
    if not hashes["ids"]:
        return
    locked = select(contents.c.sha256).where(among(contents.c.sha256)).order_by(contents.c.sha256)
    connection.execute(locked.with_for_update(), hashes).all()
    # A second statement: it sees who came to carry one while the lock was waited for.
    still = select(item_contents.c.item_id).where(item_contents.c.sha256 == contents.c.sha256)
    connection.execute(delete(contents).where(among(contents.c.sha256), ~still.exists()), hashes)
