"""Promises: everything Celery must be told when an item ends, one row a Celery task id."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Insert, bindparam, func, or_, select, update

from tierqueue.ledger.bulk import among, upsert_in
from tierqueue.ledger.tables import items, promises
from tierqueue.router.errors import Erased
from tierqueue.router.lifecycle import ENDS, State

_UNFULFILLED = select(promises).where(among(promises.c.item_id), promises.c.kept_at.is_(None))
_OWED = (
    select(promises.c.id)
    .where(
        among(promises.c.id),
        promises.c.kept_at.is_(None),
        func.coalesce(promises.c.replays, 0) == bindparam("of_replay"),
    )
    .order_by(promises.c.id)
    .with_for_update()
)
_NOTE_FULFILLED = update(promises).where(promises.c.id.in_(_OWED)).values(kept_at=bindparam("at"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What one ``.delay()`` is owed. ``id`` is its Celery task id; signatures are plain JSON.

    ``replays``: how often its item was replayed since; each time it is owed anew.
    """

    id: str
    item_id: str
    task: str
    group_id: str | None = None
    group_index: int | None = None
    chord: Any = None
    chain: Sequence[Any] | None = None
    callbacks: Sequence[Any] | None = None
    errbacks: Sequence[Any] | None = None
    root_id: str | None = None
    parent_id: str | None = None
    replays: int = 0

    @property
    def plain(self) -> bool:
        """Whether only a result is owed: no chord to count, nothing to send."""
        return not (self.chord or self.chain or self.callbacks or self.errbacks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an item ended, as its promises need to know it.

    ``answer`` is ``{"output": …, "receipt": …}`` of a success, ``error`` the dead letter's
    ``{"reason", "message", "fields"}`` otherwise.
    """

    item_id: str
    state: State
    answer: Mapping[str, Any] | None
    error: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Ends:
    """Items that ended in one transaction, and the promises that are owed for it.

    Whoever commits them has them told (``tasks.results.delivery``).
    """

    ended: list[Ending]
    owed: list[Promise]


def make_once(connection: Connection, promise: Promise, now: int) -> bool:
    """Write a promise, its item in the same transaction; false where its id is known already.

    Two deliveries of one call at the same time wait for each other here.
    """
    row = {name: getattr(promise, name) for name in Promise.__slots__}
    row["made_at"] = now
    return connection.execute(_make(connection.dialect.name), row).rowcount == 1


@cache
def _make(dialect: str) -> Insert:
    return upsert_in(dialect, promises).on_conflict_do_nothing()


def exists(connection: Connection, promise_id: str) -> bool:
    """Whether a promise of that id was ever made (a redelivered call by name finds its own)."""
    found = select(promises.c.id).where(promises.c.id == promise_id)
    return connection.execute(found).first() is not None


def unfulfilled(connection: Connection, item_ids: Sequence[str]) -> list[Promise]:
    """The promises of these items that are still owed."""
    if not item_ids:
        return []
    return [_promise(row) for row in connection.execute(_UNFULFILLED, {"ids": list(item_ids)})]


def ends_of(connection: Connection, ended: list[Ending]) -> Ends:
    """These endings, and what is owed for them."""
    return Ends(ended, unfulfilled(connection, [ending.item_id for ending in ended]))


def note_fulfilled(connection: Connection, fulfilled: Sequence[Promise], now: int) -> None:
    """Write down that these promises came true; what was replayed meanwhile stays owed."""
    for replays in {promise.replays for promise in fulfilled}:
        ids = sorted(promise.id for promise in fulfilled if promise.replays == replays)
        connection.execute(_NOTE_FULFILLED, {"ids": ids, "of_replay": replays, "at": now})


def ids_of(connection: Connection, item_ids: Sequence[str]) -> list[str]:
    """Every Celery id under which somebody may wait for these items or hold their answers."""
    given = {"ids": list(item_ids)}
    own = select(promises.c.id).where(among(promises.c.id), promises.c.item_id == promises.c.id)
    joined = select(promises.c.id).where(
        among(promises.c.item_id), promises.c.id != promises.c.item_id
    )
    return [
        promise_id
        for found in (own, joined)
        for promise_id in connection.execute(found, given).scalars()
    ]


def owe_anew(connection: Connection, item_ids: Sequence[str]) -> list[Promise]:
    """Owe everything again to who waited for these items, which were dead and are replayed.

    Errbacks that were sent are not sent again. Returns the promises.
    """
    ids = sorted(ids_of(connection, item_ids))
    if not ids:
        return []
    known, given = among(promises.c.id), {"ids": ids}
    once_more = func.coalesce(promises.c.replays, 0) + 1
    told = or_(promises.c.kept_at.is_not(None), promises.c.followed_at.is_not(None))
    connection.execute(update(promises).where(known, told).values(errbacks=None), given)
    anew = update(promises).where(known)
    connection.execute(anew.values(kept_at=None, followed_at=None, replays=once_more), given)
    return [_promise(row) for row in connection.execute(select(promises).where(known), given)]


def overdue(
    connection: Connection, before: int, limit: int, after: str = ""
) -> tuple[list[tuple[Promise, Ending]], str]:
    """Promises still owed although their item ended before ``before`` (epoch microseconds).

    Most promises not fulfilled belong to items that have not ended, and there may be any number:
    a call looks through those of ``limit`` items from behind ``after``, in the order of item ids,
    and returns also from where the next call goes on; ``""``: from the beginning.
    """
    window = select(promises.c.item_id).where(
        promises.c.kept_at.is_(None), promises.c.item_id > after
    )
    last = connection.execute(
        window.order_by(promises.c.item_id).offset(limit - 1).limit(1)
    ).scalar()
    where = [
        promises.c.kept_at.is_(None),
        promises.c.item_id > after,
        items.c.state.in_([state.value for state in ENDS]),
        items.c.ended_at < before,
    ]
    if last is not None:
        where.append(promises.c.item_id <= last)
    owed = [(promise, ending) for promise, ending, _ in read_ended(connection, where, {})]
    return owed, last or ""


def read_ended(
    connection: Connection,
    where: Sequence[ColumnElement[bool]],
    parameters: Mapping[str, Any],
) -> list[tuple[Promise, Ending, int | None]]:
    """Promises, how their items stand and when they ended (epoch µs; ``None``: they have not), as
    ``where`` over both tables chooses them.
    """
    names = ("state", "output", "receipt", "error", "ended_at", "reason", "erased_at")
    columns = [items.c[name] for name in names]
    found = select(promises, *columns).join(items, items.c.id == promises.c.item_id).where(*where)
    rows = connection.execute(found, parameters).all()
    return [(_promise(row), _ending_told(row), row.ended_at) for row in rows]


def _ending_told(row: Any) -> Ending:
    """How an item ended; of one whose payload is gone, that it is, and nothing else."""
    ending = ending_of(row, row.item_id)
    if row.erased_at is None:
        return ending
    succeeded = row.state == State.SUCCEEDED
    error = {
        "reason": Erased.reason if succeeded else row.reason,
        "message": f"item {row.item_id} has ended ({row.state}), and what it was asked and answered"
        " was erased since: submit it again if it is needed",
        "fields": {"item": row.item_id, "erased_at": row.erased_at},
    }
    return replace(
        ending, state=State.DEAD if succeeded else ending.state, answer=None, error=error
    )


def ending_of(row: Any, item_id: str | None = None) -> Ending:
    """How an item ended, from a row with its columns."""
    answer = {"output": row.output, "receipt": row.receipt}
    return Ending(
        item_id=row.id if item_id is None else item_id,
        state=State(row.state),
        answer=answer if row.state == State.SUCCEEDED else None,
        error=row.error,
    )


def items_of(connection: Connection, promise_ids: Sequence[str]) -> list[str]:
    """The items behind these Celery task ids; unknown ids are left out."""
    rows = connection.execute(
        select(promises.c.item_id).where(promises.c.id.in_(list(promise_ids))).distinct()
    )
    return [row.item_id for row in rows]


def _promise(row: Any) -> Promise:
    # What follows was sent before the broker lost the result: only that is owed.
    followed = row.followed_at is not None
    return Promise(
        id=row.id,
        item_id=row.item_id,
        task=row.task,
        group_id=row.group_id,
        group_index=row.group_index,
        chord=None if followed else row.chord,
        chain=None if followed else row.chain,
        callbacks=None if followed else row.callbacks,
        errbacks=None if followed else row.errbacks,
        root_id=row.root_id,
        parent_id=row.parent_id,
        replays=row.replays or 0,
    )
