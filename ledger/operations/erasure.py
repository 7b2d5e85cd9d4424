"""Payloads go: by retention once they are old, by an erasure at once. Receipts and books stay.

What is left of an item: that there was one, when, for whom, where it ran and what it cost.
"""

from collections.abc import Collection, Sequence

from sqlalchemy import delete, select, tuple_, update

from tierqueue.ledger import audit_log
from tierqueue.ledger.bulk import among
from tierqueue.ledger.contents import content_store
from tierqueue.ledger.in_force import reusable_answers
from tierqueue.ledger.lifecycle import items as items_of_ledger
from tierqueue.ledger.lifecycle import second_items
from tierqueue.ledger.lifecycle.documents import parts_of
from tierqueue.ledger.records import DocumentPart
from tierqueue.ledger.results import sinks
from tierqueue.ledger.results.promises import ids_of
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import (
    attempts,
    items,
    job_rows,
    labels,
    promises,
    raw_messages,
    refused_answers,
)
from tierqueue.router.lifecycle import ENDS, State

_ENDED = items.c.state.in_([state.value for state in ENDS])


def with_metadata(
    connection: Transaction, key: str, value: str, after: str, most: int
) -> tuple[list[str], str | None]:
    """Ids of items whose metadata say ``key`` is ``value`` (compared as text), not erased yet.

    Looks at ``most`` items from ids above ``after``; also returns where it stopped, ``None`` at
    the end.
    """
    page = connection.execute(
        select(items.c.id, items.c.metadata)
        .where(items.c.id > after, items.c.erased_at.is_(None))
        .order_by(items.c.id)
        .limit(most)
    ).all()
    wanted = [
        row.id
        for row in page
        if row.metadata is not None and key in row.metadata and _as_text(row.metadata[key]) == value
    ]
    return wanted, page[-1].id if page else None


def erase(connection: Transaction, item_ids: Sequence[str], by: str, why: str) -> list[str]:
    """Erase the items of these that have ended; returns their ids. ``why`` holds no payload.

    What is still owed to their producers is given up: there is nothing left to tell. Their second
    items go with them, cancelled where they have not ended.
    """
    ended = _ended(connection, item_ids)
    if ended:
        now = database_now(connection)
        seconds = second_items.of_firsts(connection, ended)
        items_of_ledger.cancel(connection, seconds, by)
        _strip(connection, [*ended, *seconds], now)
        known = ids_of(connection, ended)
        owed = update(promises).where(among(promises.c.id), promises.c.kept_at.is_(None))
        connection.execute(owed.values(kept_at=now), {"ids": known})
        connection.execute(
            delete(raw_messages).where(raw_messages.c.headers["id"].as_string().in_(known))
        )
        audit_log.note(connection, by=by, what="erase", detail={"items": ended, "why": why})
    return ended


def still_going(connection: Transaction, item_ids: Sequence[str]) -> list[str]:
    """Those of these items that have not ended."""
    found = select(items.c.id).where(among(items.c.id), ~_ENDED).order_by(items.c.id)
    return list(connection.execute(found, {"ids": list(item_ids)}).scalars())


def expire(connection: Transaction, states: Sequence[State], before: int, most: int) -> int:
    """Retention: strip up to ``most`` items that ended in ``states`` before ``before`` (epoch µs).

    Items that still owe a promise wait for it, and parts of a document for its end. Returns how
    many were stripped.
    """
    document = items.alias()
    unended = select(document.c.id).where(
        document.c.id == items.c.part_of, document.c.ended_at.is_(None)
    )
    owed = select(promises.c.id).where(
        promises.c.item_id == items.c.id, promises.c.kept_at.is_(None)
    )
    found = (
        select(items.c.id)
        .where(
            items.c.ended_at.is_not(None),
            items.c.ended_at < before,
            items.c.erased_at.is_(None),
            items.c.state.in_([state.value for state in states]),
            ~owed.exists(),
            ~unended.exists(),
        )
        .order_by(items.c.ended_at)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    ids = sorted(connection.execute(found).scalars())
    if ids:
        seconds = _ended(connection, second_items.of_firsts(connection, ids))
        _strip(connection, sorted({*ids, *seconds}), database_now(connection))
    return len(ids)


def free_keys(connection: Transaction, now: int, most: int) -> int:
    """Free up to ``most`` idempotency keys whose lifetime has passed; returns how many."""
    found = (
        select(items.c.id)
        .where(items.c.key_expires_at.is_not(None), items.c.key_expires_at < now)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    ids = sorted(connection.execute(found).scalars())
    if ids:
        freed = update(items).where(among(items.c.id))
        connection.execute(freed.values(idempotency_key=None, key_expires_at=None), {"ids": ids})
    return len(ids)


def need_what_is_gone(connection: Transaction, documents: Collection[str]) -> set[str]:
    """Those of these documents whose answer needs a part that was erased: whatever else of them is
    asked again, it is joined into nothing. A partial answer goes without that part.
    """
    erased = select(items.c.part_of).where(among(items.c.part_of), items.c.erased_at.is_not(None))
    found = set(connection.execute(erased, {"ids": sorted(documents)}).scalars())
    if not found:
        return set()
    how = select(items.c.id, items.c.split).where(among(items.c.id))
    rows = connection.execute(how, {"ids": sorted(found)})
    partial = {row.id for row in rows if row.split["on_failure"] == "partial"}
    return {one for one in found - partial if _needs_erased(parts_of(connection, one))}


def _needs_erased(parts: Sequence[DocumentPart]) -> bool:
    """Whether an erased part is in no answer that joins it with others and is there."""
    joined = [
        part.span for part in parts if part.state == State.SUCCEEDED and part.erased_at is None
    ]
    return any(
        not any(begin <= part.span[0] and part.span[1] <= end for begin, end in joined)
        for part in parts
        if part.erased_at is not None
    )


def _ended(connection: Transaction, item_ids: Sequence[str]) -> list[str]:
    found = (
        select(items.c.id)
        .where(among(items.c.id), _ENDED, items.c.erased_at.is_(None))
        .order_by(items.c.id)
        .with_for_update()
    )
    return list(connection.execute(found, {"ids": sorted(set(item_ids))}).scalars())


def _strip(connection: Transaction, ids: Sequence[str], now: int) -> None:
    # A dead letter's message and an attempt's detail may quote an answer; a key, a fingerprint
    # or a hash of a row or a question may tell what was asked.
    connection.execute(
        update(items)
        .where(among(items.c.id))
        .values(
            arguments=None,
            output=None,
            metadata=None,
            error=None,
            idempotency_key=None,
            key_expires_at=None,
            fingerprint="",
            erased_at=now,
        ),
        {"ids": list(ids)},
    )
    connection.execute(
        update(attempts).where(among(attempts.c.item_id)).values(detail=None), {"ids": list(ids)}
    )
    connection.execute(
        update(labels).where(among(labels.c.item_id)).values(corrected=None), {"ids": list(ids)}
    )
    content_store.drop(connection, ids)
    connection.execute(
        delete(refused_answers).where(among(refused_answers.c.item_id)), {"ids": list(ids)}
    )
    reusable_answers.forget(connection, ids)
    sinks.forget(connection, ids)
    own = select(items.c.job_id, items.c.job_index).where(
        among(items.c.id), items.c.job_id.is_not(None)
    )
    connection.execute(
        update(job_rows)
        .where(tuple_(job_rows.c.job_id, job_rows.c.number).in_(own))
        .values(content="", fingerprint=""),
        {"ids": list(ids)},
    )
    connection.execute(
        update(job_rows)
        .where(among(job_rows.c.item_id), job_rows.c.fingerprint.is_(None))
        .values(content=""),
        {"ids": list(ids)},
    )
    connection.execute(
        update(promises)
        .where(among(promises.c.id))
        .values(chord=None, chain=None, callbacks=None, errbacks=None),
        {"ids": ids_of(connection, ids)},
    )


def _as_text(value: object) -> str:
    """A JSON value as people write it on a command line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
