"""Chords whose header is all ours: counted here, so that the broker may forget everything."""

from collections.abc import Sequence

from sqlalchemy import case, delete, func, insert, or_, select, update

from tierqueue.ledger.bulk import among
from tierqueue.ledger.results.promises import ENDED, EndedItem, Ending
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import chords, items, promises
from tierqueue.router.lifecycle import ENDS, State
from tierqueue.router.policy.duration import SECOND_US

_OURS = 1
"""``begun_at`` of a chord that is known to be ours, and whose body nobody is sending."""

SENDING_US = 15 * SECOND_US
"""Microseconds one sender may take before another may try."""


def announce(connection: Transaction, group_id: str, size: int, *, ours: bool = False) -> None:
    """A chord of ``size`` parts is about to be complete; told again, its size is the new one.

    ``ours``: every part of it is or will be an item's promise.
    """
    known = update(chords).where(chords.c.group_id == group_id)
    fresh = {
        "size": size,
        "begun_at": _OURS if ours else 0,
        "body_sent_at": None,
        "failed_at": None,
    }
    if connection.execute(known.values(**fresh)).rowcount == 0:
        connection.execute(insert(chords).values(group_id=group_id, **fresh))


def is_ours(connection: Transaction, group_id: str) -> bool:
    """Whether every part of this chord is an item's promise, each with a place of its own."""
    found = select(chords.c.size, chords.c.begun_at).where(chords.c.group_id == group_id)
    if (row := connection.execute(found).first()) is None:
        return False
    if row.begun_at >= _OURS:
        return True
    places = select(
        func.count(),
        func.count(promises.c.group_index.distinct()),
        func.min(promises.c.group_index),
        func.max(promises.c.group_index),
    ).where(promises.c.group_id == group_id, promises.c.chord.is_not(None))
    return tuple(connection.execute(places).one()) == (row.size, row.size, 0, row.size - 1)


def parts(connection: Transaction, group_id: str) -> Sequence[Ending] | None:
    """How the parts of a chord of ours ended, in the header's order; ``None`` while some have not.

    Remembers that the chord is ours, so that its parts are not counted again at each end.
    """
    known = (chords.c.group_id == group_id, chords.c.begun_at < _OURS)
    connection.execute(update(chords).where(*known).values(begun_at=_OURS))
    of_group = (promises.c.group_id == group_id, promises.c.chord.is_not(None))
    still = items.c.state.not_in([state.value for state in ENDS])
    joined = items.join(promises, promises.c.item_id == items.c.id)
    # From behind, where the last ones are most likely still under way.
    unended = select(items.c.id).select_from(joined).where(*of_group, still)
    if connection.execute(unended.order_by(promises.c.group_index.desc()).limit(1)).first():
        return None
    found = select(*ENDED).select_from(joined).where(*of_group).order_by(promises.c.group_index)
    ended = [EndedItem.from_row(row).ending for row in connection.execute(found)]
    size = connection.execute(select(chords.c.size).where(chords.c.group_id == group_id)).scalar()
    # Of a chord that is ours from the beginning some parts may have to be submitted yet.
    return ended if size is None or len(ended) >= size else None


def begin(connection: Transaction, group_id: str) -> bool | None:
    """Whether the caller is to send the body; ``None`` where it has been sent.

    Somebody who began and did not finish is followed by another after ``SENDING_US``.
    """
    now = database_now(connection)
    free = (chords.c.body_sent_at.is_(None), chords.c.begun_at < now - SENDING_US)
    begun = update(chords).where(chords.c.group_id == group_id, *free).values(begun_at=now)
    if connection.execute(begun).rowcount:
        return True
    sent = select(chords.c.body_sent_at).where(chords.c.group_id == group_id)
    return False if connection.execute(sent).scalar() is None else None


def sent(connection: Transaction, group_id: str, *, failed: bool) -> None:
    """The body was sent, or told that a part of its header had ``failed``."""
    now = database_now(connection)
    told = {"body_sent_at": now, **({"failed_at": now} if failed else {})}
    connection.execute(update(chords).where(chords.c.group_id == group_id).values(told))


def has_failed(connection: Transaction, group_id: str) -> bool:
    """Whether the body was told once already that a part had failed."""
    found = select(chords.c.failed_at).where(chords.c.group_id == group_id)
    return connection.execute(found).scalar() is not None


def fail(connection: Transaction, group_id: str) -> None:
    """Note that a chord's body was told that a part had failed; the first time counts."""
    known = update(chords).where(chords.c.group_id == group_id, chords.c.failed_at.is_(None))
    connection.execute(known.values(failed_at=database_now(connection)))


def reopen(connection: Transaction, group_ids: Sequence[str]) -> None:
    """Parts of these chords are replayed: the bodies are sent once all parts have ended again."""
    known = case((chords.c.begun_at < _OURS, chords.c.begun_at), else_=_OURS)
    again = update(chords).where(among(chords.c.group_id))
    fresh = {"begun_at": known, "body_sent_at": None}
    connection.execute(again.values(fresh), {"ids": sorted(set(group_ids))})


def give_up(connection: Transaction, group_id: str) -> None:
    """The body could not be sent: whoever comes next may try."""
    where = (chords.c.group_id == group_id, chords.c.body_sent_at.is_(None))
    connection.execute(update(chords).where(*where).values(begun_at=_OURS))


def forget_sent(connection: Transaction, before: int) -> int:
    """Forget chords whose body was sent before ``before`` (epoch µs); returns how many.

    One that failed is kept for as long as a part of its header may be replayed, and one whose part
    is a chord that failed for as long as there is one that did.
    """
    replayable = (
        select(promises.c.id)
        .join(items, items.c.id == promises.c.item_id)
        .where(
            promises.c.group_id == chords.c.group_id,
            items.c.state == State.DEAD.value,
            items.c.erased_at.is_(None),
        )
    )
    over = or_(chords.c.failed_at.is_(None), ~replayable.exists())
    told = delete(chords).where(chords.c.body_sent_at < before, over)
    forgotten = connection.execute(told).rowcount
    part = chords.alias()
    failed = select(part.c.group_id).where(
        part.c.failed_at.is_not(None), part.c.body_sent_at.is_not(None)
    )
    around = delete(chords).where(
        chords.c.body_sent_at.is_(None), chords.c.failed_at < before, ~failed.exists()
    )
    return forgotten + connection.execute(around).rowcount
