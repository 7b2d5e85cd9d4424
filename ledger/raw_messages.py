"""Messages nobody could read, with the bytes as they came."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import RowMapping, insert, select

from tierqueue.ledger.items import new_id
from tierqueue.ledger.models import raw_messages
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.session import now as database_now


def keep(
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


def newest(connection: Transaction, limit: int) -> Sequence[RowMapping]:
    """The messages kept last, the newest first."""
    order = (raw_messages.c.received_at.desc(), raw_messages.c.id.desc())
    found = select(raw_messages).order_by(*order).limit(limit)
    return connection.execute(found).mappings().all()


def _shown(value: Any) -> Any:
    """A text as both databases hold it: half an emoji and a NUL are written out."""
    if not isinstance(value, str):
        return value
    return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
