"""Promises: everything Celery must be told when an item ends, one row a Celery task id."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, Self

from sqlalchemy import ColumnElement, Connection, Insert, bindparam, func, or_, select, update

from tierqueue.ledger.bulk import among, upsert_in
from tierqueue.ledger.tables import items, promises
from tierqueue.router.errors import Erased
from tierqueue.router.lifecycle import ENDS, State

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


class Promise(NamedTuple):
    """What one ``.delay()`` is owed; signatures are plain JSON."""

    id: str
    """Its Celery task id."""
    item_id: str
    """The item that it waits for."""
    task: str
    """The name of the item's task type."""
    group_id: str | None = None
    """The group that it was sent in."""
    group_index: int | None = None
    """Its place there, from 0."""
    chord: Any = None
    """What follows once all of its group have ended."""
    chain: Sequence[Any] | None = None
    """What follows it, the next one last."""
    callbacks: Sequence[Any] | None = None
    """What is sent where its item succeeds."""
    errbacks: Sequence[Any] | None = None
    """What is sent where its item does not."""
    root_id: str | None = None
    """The Celery task id of what began it all."""
    parent_id: str | None = None
    """The Celery task id of what sent it."""
    replays: int = 0
    """How often its item was replayed since; each time it is owed anew."""

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Self:
        """The promise of a row of ``PROMISE``."""
        *stated, followed_at = row
        promise = cls._make(stated)
        if followed_at is None:
            return promise
        # What follows was sent before the broker lost the result: only that is owed.
        return promise._replace(chord=None, chain=None, callbacks=None, errbacks=None)

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


class EndedItem(NamedTuple):
    """What a row of an item says of its end, or that there is none yet."""

    id: str
    """The item's."""
    state: State
    """Where it is."""
    reason: str | None
    """Why it ended so."""
    output: Any
    """Its answer."""
    receipt: Mapping[str, Any] | None
    """What the answer took and cost."""
    error: Mapping[str, Any] | None
    """What ended it where it has no answer."""
    ended_at: int | None
    """Epoch microseconds."""
    erased_at: int | None
    """Epoch microseconds: since then its payload is gone."""

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Self:
        """The end of a row of ``ENDED``."""
        ended = cls._make(row)
        return ended._replace(state=State(ended.state))

    @property
    def ending(self) -> Ending:
        """How it ended, its payload still there."""
        answer = {"output": self.output, "receipt": self.receipt}
        return Ending(
            item_id=self.id,
            state=self.state,
            answer=answer if self.state == State.SUCCEEDED else None,
            error=self.error,
        )

    @property
    def present_ending(self) -> Ending:
        """How it ended, as is known now: of one whose payload is gone, that it is, no more."""
        if self.erased_at is None:
            return self.ending
        succeeded = self.state == State.SUCCEEDED
        error = {
            "reason": Erased.reason if succeeded else self.reason,
            "message": f"item {self.id} has ended ({self.state}), and what it was asked and"
            " answered was erased since: submit it again if it is needed",
            "fields": {"item": self.id, "erased_at": self.erased_at},
        }
        state = State.DEAD if succeeded else self.state
        return Ending(item_id=self.id, state=state, answer=None, error=error)


PROMISE = (
    *(promises.c[name] for name in Promise._fields if name != "replays"),
    func.coalesce(promises.c.replays, 0).label("replays"),
    promises.c.followed_at,
)
"""The columns of a ``Promise``, in its order, and whether what follows it was sent."""

ENDED = tuple(items.c[name] for name in EndedItem._fields)
"""The columns of an ``EndedItem``, in its order."""

_MADE = select(*PROMISE).where(among(promises.c.item_id))
_UNFULFILLED = select(*PROMISE).where(among(promises.c.item_id), promises.c.kept_at.is_(None))


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
    row = {**promise._asdict(), "made_at": now}
    return connection.execute(_make(connection.dialect.name), row).rowcount == 1


@cache
def _make(dialect: str) -> Insert:
    return upsert_in(dialect, promises).on_conflict_do_nothing()


def exists(connection: Connection, promise_id: str) -> bool:
    """Whether a promise of that id was ever made (a redelivered call by name finds its own)."""
    found = select(promises.c.id).where(promises.c.id == promise_id)
    return connection.execute(found).first() is not None


def made(connection: Connection, item_ids: Sequence[str]) -> list[Promise]:
    """The promises of these items, also those that came true."""
    if not item_ids:
        return []
    return [Promise.from_row(row) for row in connection.execute(_MADE, {"ids": list(item_ids)})]


def unfulfilled(connection: Connection, item_ids: Sequence[str]) -> list[Promise]:
    """The promises of these items that are still owed."""
    if not item_ids:
        return []
    rows = connection.execute(_UNFULFILLED, {"ids": list(item_ids)})
    return [Promise.from_row(row) for row in rows]


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
    rows = connection.execute(select(*PROMISE).where(known), given)
    return [Promise.from_row(row) for row in rows]


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
    joined = promises.join(items, items.c.id == promises.c.item_id)
    found = select(*PROMISE, *ENDED).select_from(joined).where(*where)
    owed = []
    for row in connection.execute(found, parameters):
        ended = EndedItem.from_row(row[len(PROMISE) :])
        owed.append((Promise.from_row(row[: len(PROMISE)]), ended.present_ending, ended.ended_at))
    return owed


def items_of(connection: Connection, promise_ids: Sequence[str]) -> list[str]:
    """The items behind these Celery task ids; unknown ids are left out."""
    rows = connection.execute(
        select(promises.c.item_id).where(promises.c.id.in_(list(promise_ids))).distinct()
    )
    return [row.item_id for row in rows]
