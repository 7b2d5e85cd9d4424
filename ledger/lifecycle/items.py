"""Items: how they come in, how they are looked at, how they end without having run."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from tierqueue.ledger.bulk import (
    PreparedRows,
    among,
    insert_many,
    prepare_insert,
    update_many,
    upsert,
)
from tierqueue.ledger.contents import content_store
from tierqueue.ledger.contents.content_store import Content
from tierqueue.ledger.lifecycle.flows import due_at, name_of
from tierqueue.ledger.records import ATTEMPT, Attempt
from tierqueue.ledger.results import item_spending, promises
from tierqueue.ledger.results.promises import Ending, Ends, Promise
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import attempts, items
from tierqueue.ledger.whole_item import WHOLE_ITEM, WholeItem
from tierqueue.router.errors import InvalidItem
from tierqueue.router.item import Latency
from tierqueue.router.lifecycle import ENDS, MOVES, State, Wait


@dataclass(frozen=True, slots=True, kw_only=True)
class NewItem:
    """A work item to be committed; demands that are ``None`` were not stated.

    ``deadline`` and ``not_before`` are epoch microseconds, ``max_cost`` nano-dollars; ``prefix``
    names the prompt prefix that items of one slice share; ``fingerprint`` tells two uses of one
    idempotency key apart; ``key_lifetime``: microseconds until the key is free again, ``None`` for
    ever; ``pinned``: the one tier that may do it; ``fresh``: no earlier answer may be taken for it;
    ``images``: width and height of each, whose bytes are in ``contents``; ``prompt``: the version
    of the instruction, where not its task type's; ``split``: how it is cut, or a ``part_of`` has.
    """

    id: str
    task: str
    arguments: Mapping[str, Any]
    fingerprint: str
    prefix: str
    prompt_bytes: int
    messages: int
    output_limit: int
    min_confidence: float | None = None
    risk: str | None = None
    sensitivity: str | None = None
    inherits: str | None = None
    latency: str | None = None
    deadline: int | None = None
    max_cost: int | None = None
    floor: str | None = None
    fallback: Mapping[str, str] | None = None
    budget: str | None = None
    priority: int = 0
    not_before: int | None = None
    metadata: Mapping[str, Any] | None = None
    idempotency_key: str | None = None
    key_lifetime: int | None = None
    job_id: str | None = None
    job_index: int | None = None
    pinned: str | None = None
    fresh: bool = False
    images: Sequence[Sequence[int]] | None = None
    prompt: str | None = None
    part_of: str | None = None
    split: Mapping[str, Any] | None = None
    contents: Sequence[Content] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Death:
    """An end without an answer for an item that is not running: a dead letter's reason."""

    item_id: str
    reason: str
    message: str
    fields: Mapping[str, Any]

    def error(self) -> dict[str, Any]:
        """The dead letter as it is stored and as its promises carry it."""
        return {"reason": self.reason, "message": self.message, "fields": dict(self.fields)}


def new_id() -> str:
    """A UUID of version 7: unique, and in the order of time, so that inserts stay local."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


_BY_KEY = select(items.c.id, items.c.fingerprint).where(items.c.idempotency_key == bindparam("key"))


def is_known(connection: Connection, key: str) -> bool:
    """Whether an idempotency key, as a ``NewItem`` has it, belongs to an item."""
    return connection.execute(_BY_KEY, {"key": key}).first() is not None


def submit(connection: Connection, new: NewItem, promise: Promise | None) -> str:
    """Commit one item and what its producer is owed; returns the item's id.

    An idempotency key that is known gives the item it belongs to one more promise; raises
    ``InvalidItem`` when it came with other arguments or demands. A promise id that is known (a
    message delivered twice) changes nothing.
    """
    at = database_now(connection)
    if new.idempotency_key is not None:
        item_id = _submit_once(connection, new, at)
        if promise is not None:
            owed = promise if item_id == promise.item_id else promise._replace(item_id=item_id)
            promises.make_once(connection, owed, at)
        return item_id
    if promise is not None and not promises.make_once(connection, promise, at):
        return promises.items_of(connection, [promise.id])[0]
    insert_many(connection, items, [_row(new, at)])
    content_store.write(connection, {new.id: new.contents}, at)
    return new.id


def prepare(dialect: str, new: Sequence[NewItem], at: int) -> PreparedRows:
    """Make items ready for ``PreparedRows.write``: such as nobody waits for by name, a job's rows.

    No key, no promise, and no contents, which are kept apart. ``at``: the ledger's clock, when they
    are submitted.
    """
    return prepare_insert(dialect, items, [_row(item, at) for item in new])


def refuse(
    connection: Connection,
    task: str,
    arguments: Mapping[str, Any],
    promise: Promise,
    error: InvalidItem,
) -> Ends | None:
    """Commit a call that cannot become an item as a dead letter ``invalid``, with its promise.

    ``arguments`` are kept as they came. Returns the end, which is owed to the promise, or
    ``None`` where the promise is known (a message delivered twice).
    """
    at = database_now(connection)
    if not promises.make_once(connection, promise, at):
        return None
    fields = {"item": promise.item_id, **error.fields}
    death = Death(promise.item_id, error.reason, error.message, fields)
    refused = NewItem(
        id=promise.item_id,
        task=task,
        arguments=arguments,
        fingerprint="",
        prefix="",
        prompt_bytes=0,
        messages=0,
        output_limit=0,
    )
    insert_many(connection, items, [_row(refused, at)])
    return end(connection, [death], State.DEAD, at)


def _submit_once(connection: Connection, new: NewItem, at: int) -> str:
    if new.key_lifetime is not None:
        expired = (items.c.idempotency_key == new.idempotency_key, items.c.key_expires_at < at)
        freed = {"idempotency_key": None, "key_expires_at": None}
        connection.execute(update(items).where(*expired).values(**freed))
    connection.execute(upsert(connection, items).on_conflict_do_nothing(), _row(new, at))
    held = connection.execute(_BY_KEY, {"key": new.idempotency_key}).one()
    if held.fingerprint != new.fingerprint:
        raise InvalidItem(
            f"idempotency key {new.idempotency_key!r} belongs to item {held.id}, which was"
            " submitted with other arguments or demands: use another key",
            {"item": held.id, "idempotency_key": new.idempotency_key},
        )
    if held.id == new.id:
        content_store.write(connection, {new.id: new.contents}, at)
    return str(held.id)


_ELSEWHERE = ("not_before", "key_lifetime", "contents")
"""What a new item states relative to the moment it is committed, and what other tables hold."""

_HERE = tuple(name for name in NewItem.__slots__ if name not in _ELSEWHERE)
_values = attrgetter(*_HERE)


def _row(new: NewItem, at: int) -> dict[str, Any]:
    in_pieces = new.split is not None and new.part_of is None
    delayed = in_pieces or (new.not_before is not None and new.not_before > at)
    why = Wait.PIECES if in_pieces else Wait.NOT_BEFORE
    row: dict[str, Any] = dict(zip(_HERE, _values(new), strict=True))
    if new.key_lifetime is not None and new.idempotency_key is not None:
        row["key_expires_at"] = at + new.key_lifetime
    row.update(
        state=State.WAITING.value if delayed else State.SUBMITTED.value,
        reason=why.value if delayed else None,
        ready_at=new.not_before or at,
        fence=0,
        calls=0,
        lost_claims=0,
        throttles=0,
        spent=0,
        held=0,
        cancel_requested=False,
        submitted_at=at,
        flow=name_of(
            urgent=new.latency == Latency.INTERACTIVE,
            budget=new.budget,
            job_id=new.job_id,
            task=new.task,
        ),
        due=due_at(at, new.deadline, new.priority),
    )
    return row


def fallen(to: str, deployment: str, on: str) -> dict[str, str]:
    """What an item's row says of a fallback: to which tier, from which deployment, on what."""
    return {"to": str(to), "from": deployment, "on": on}


def fall_back(connection: Connection, degraded: Mapping[str, Mapping[str, Any]]) -> None:
    """Mark items (id -> ``fallen``) whose next route is in the tier they may fall back to."""
    update_many(
        connection,
        items,
        ("id",),
        [{"id": item_id, "degraded": dict(mark)} for item_id, mark in degraded.items()],
    )


def die(connection: Connection, deaths: Sequence[Death], at: int) -> Ends:
    """End items that are not running and whose rows the caller has locked."""
    return end(connection, deaths, State.DEAD, at)


def end(connection: Connection, deaths: Sequence[Death], state: State, at: int) -> Ends:
    """Put locked items that are not running into an end without an answer."""
    if not deaths:
        return Ends([], [])
    update_many(
        connection,
        items,
        ("id",),
        [
            {
                "id": death.item_id,
                "state": state.value,
                "reason": death.reason,
                "error": death.error(),
                "ended_at": at,
                "lease_until": None,
            }
            for death in deaths
        ],
    )
    item_spending.by_pieces(connection, [death.item_id for death in deaths])
    ended = [
        Ending(item_id=death.item_id, state=state, answer=None, error=death.error())
        for death in deaths
    ]
    return promises.ends_of(connection, ended)


def cancel(connection: Connection, item_ids: Sequence[str], by: str) -> Ends:
    """Cancel items: those not running end at once, a running one when its call is aborted, one that
    was handed over in a batch when that is over.

    Pieces go with their document, and what has ended stays as it is. Returns those that ended.
    """
    at = database_now(connection)
    found = select(items.c.id, items.c.state).order_by(items.c.id).with_for_update()
    asked = {"ids": sorted(set(item_ids))}
    own = connection.execute(found.where(among(items.c.id)), asked).all()
    # Once documents are locked they are cut no more: all their pieces are seen.
    pieces = connection.execute(found.where(among(items.c.part_of)), asked).all()
    rows = {row.id: row for row in [*own, *pieces]}.values()
    claimed = (State.RUNNING, State.HANDED_OVER)
    running = [row.id for row in rows if row.state in claimed]
    if running:
        connection.execute(
            update(items).where(among(items.c.id)).values(cancel_requested=True), {"ids": running}
        )
    deaths = [
        Death(row.id, "cancelled", f"item {row.id} was cancelled by {by}", {"item": row.id})
        for row in rows
        if State(row.state) not in ENDS and State.CANCELLED in MOVES[State(row.state)]
        if row.state not in claimed
    ]
    return end(connection, deaths, State.CANCELLED, at)


def get(connection: Connection, item_id: str) -> WholeItem | None:
    """One item, or ``None``."""
    row = connection.execute(select(*WHOLE_ITEM).where(items.c.id == item_id)).first()
    return None if row is None else WholeItem.from_row(row)


def history(connection: Connection, item_id: str) -> list[Attempt]:
    """The item's attempts in the order of their fences, each with its outcome and cost."""
    found = select(*ATTEMPT).where(attempts.c.item_id == item_id).order_by(attempts.c.fence)
    return [Attempt.from_row(row) for row in connection.execute(found)]
