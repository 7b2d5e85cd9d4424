"""Messages nobody could read, with the bytes as they came."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

from sqlalchemy import delete, func, insert, select

from tierqueue.ledger import audit_log
from tierqueue.ledger.lifecycle.items import new_id
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import raw_messages


class RawMessage(NamedTuple):
    """A message that nobody could read, without its bytes."""

    id: str
    """Ours: a UUID of version 7."""
    queue: str
    """Where it lay."""
    error: str
    """Why it could not be read."""
    headers: Mapping[str, Any]
    """What stood beside its body."""
    received_at: int
    """Epoch microseconds."""
    size: int
    """Bytes of its body."""

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Self:
        """The message of a row of ``_SHOWN``."""
        return cls._make(row)


_SHOWN = (
    *(raw_messages.c[name] for name in RawMessage._fields[:-1]),
    func.length(raw_messages.c.body),
)


def store(
    connection: Transaction, *, queue: str, body: bytes, headers: Mapping[str, Any], error: str
) -> str:
    """Commit one message; ``error`` says why it could not be read. Returns its id."""
    kept = new_id()
    connection.execute(
        insert(raw_messages),
        {
            "id": kept,
            "queue": _shown(queue),
            "body": body,
            "headers": {_shown(name): _shown(value) for name, value in headers.items()},
            "error": _shown(error),
            "received_at": database_now(connection),
        },
    )
    return kept


def newest(connection: Transaction, limit: int) -> list[RawMessage]:
    """The messages kept last, the newest first."""
    order = (raw_messages.c.received_at.desc(), raw_messages.c.id.desc())
    found = select(*_SHOWN).order_by(*order).limit(limit)
    return [RawMessage.from_row(row) for row in connection.execute(found)]


def starting(connection: Transaction, beginning: str, limit: int) -> list[RawMessage]:
    """Up to ``limit`` messages whose ids begin so, the shortest id first."""
    begins = raw_messages.c.id.startswith(beginning, autoescape=True)
    found = select(*_SHOWN).where(begins).order_by(func.length(raw_messages.c.id)).limit(limit)
    return [RawMessage.from_row(row) for row in connection.execute(found)]


def body_of(connection: Transaction, message_id: str) -> bytes:
    """A message's bytes as they came; it is there."""
    found = select(raw_messages.c.body).where(raw_messages.c.id == message_id)
    return bytes(connection.execute(found).scalar_one())


def discard(connection: Transaction, message_ids: Sequence[str], by: str) -> int:
    """Take messages away for good, and write down who did; returns how many there were."""
    chosen = delete(raw_messages).where(raw_messages.c.id.in_(message_ids))
    gone = connection.execute(chosen).rowcount
    audit_log.note(
        connection, by=by, what="discard messages", detail={"messages": list(message_ids)}
    )
    return gone


def expire(connection: Transaction, before: int, most: int) -> int:
    """Retention: take away up to ``most`` messages that came before ``before`` (epoch µs)."""
    old = (
        select(raw_messages.c.id)
        .where(raw_messages.c.received_at < before)
        .order_by(raw_messages.c.received_at)
        .limit(most)
    )
    ids = list(connection.execute(old).scalars())
    if ids:
        connection.execute(delete(raw_messages).where(raw_messages.c.id.in_(ids)))
    return len(ids)


def _shown(value: Any) -> Any:
    """A text as both databases hold it: half an emoji and a NUL are written out."""
    if not isinstance(value, str):
        return value
    return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
