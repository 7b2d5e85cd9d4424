"""After a broker loss: what was told is owed again, and producers ask what the broker forgot."""

from collections.abc import Sequence

from sqlalchemy import and_, or_, select, update

from tierqueue.ledger.bulk import among
from tierqueue.ledger.results.promises import Ending, Promise, read_ended
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import items, promises
from tierqueue.router.item import Sensitivity
from tierqueue.router.lifecycle import ENDS

_ENDED = items.c.state.in_([state.value for state in ENDS])


def endings(
    connection: Transaction, promise_ids: Sequence[str], *, ended: bool = False
) -> list[tuple[Promise, Ending, int | None]]:
    """How the items behind these Celery ids ended, and when (epoch µs; ``None``: not yet).

    Left out are unknown ids, and with ``ended`` items that have not. Of an erased one it is said
    that it was.
    """
    where = [among(promises.c.id), *([_ENDED] if ended else [])]
    return read_ended(connection, where, {"ids": list(promise_ids)})


def owe_again(
    connection: Transaction,
    *,
    told_before: int,
    told_after: int,
    regulated_after: int,
    last_id: str,
    most: int,
) -> tuple[int, str | None]:
    """Owe again the results that the broker would still hold; a batch, from ids above ``last_id``.

    The result alone: links, chains, errbacks and chords are not sent twice. Results of regulated
    items were held from ``regulated_after`` on, the others from ``told_after`` (epoch µs). Returns
    how many are owed again, and the last id seen, ``None`` at the end.
    """
    regulated = items.c.sensitivity == Sensitivity.REGULATED.value
    held = or_(
        and_(regulated, promises.c.kept_at >= regulated_after),
        and_(or_(items.c.sensitivity.is_(None), ~regulated), promises.c.kept_at >= told_after),
    )
    page = select(promises.c.id).where(promises.c.id > last_id).order_by(promises.c.id).limit(most)
    seen = list(connection.execute(page).scalars())
    if not seen:
        return 0, None
    found = (
        select(promises.c.id)
        .join(items, items.c.id == promises.c.item_id)
        .where(
            among(promises.c.id),
            promises.c.kept_at < told_before,
            items.c.erased_at.is_(None),
            _ENDED,
            held,
        )
    )
    ids = list(connection.execute(found, {"ids": seen}).scalars())
    if ids:
        again = update(promises).where(among(promises.c.id), promises.c.kept_at < told_before)
        values = {"kept_at": None, "followed_at": promises.c.kept_at}
        connection.execute(again.values(values), {"ids": ids})
    return len(ids), seen[-1]


def erased_since(connection: Transaction, since: int) -> list[str]:
    """Celery ids of items whose payloads were erased at ``since`` (epoch µs) or later."""
    found = (
        select(promises.c.id)
        .join(items, items.c.id == promises.c.item_id)
        .where(items.c.erased_at >= since)
    )
    return list(connection.execute(found).scalars())
