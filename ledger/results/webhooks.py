"""Webhooks of jobs: who is told of one, what was told, and when it is looked at again."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update

from tierqueue.ledger import audit_log
from tierqueue.ledger.bulk import upsert
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import webhooks


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """``secret``: where the secret is; ``ended``: rows that had at ``moved_at`` (epoch µs)."""

    job_id: str
    address: str
    secret: str
    ended: int
    moved_at: int
    look_at: int | None
    told: str | None
    tries: int
    error: str | None


def put(connection: Transaction, job_id: str, address: str, secret: str, by: str) -> None:
    """Have an address told of a job from now on, instead of another one."""
    at = database_now(connection)
    values: dict[str, Any] = {
        "address": address,
        "secret": secret,
        "added_by": by,
        "ended": 0,
        "moved_at": at,
        "look_at": at,
        "told": None,
        "tries": 0,
        "error": None,
    }
    made = upsert(connection, webhooks).values(job_id=job_id, **values)
    connection.execute(made.on_conflict_do_update(index_elements=["job_id"], set_=values))
    audit_log.note(connection, by=by, what="set webhook", detail={"job": job_id})


def get(connection: Transaction, job_id: str) -> Webhook | None:
    """The webhook of a job, or ``None``."""
    found = select(*(webhooks.c[name] for name in Webhook.__slots__))
    row = connection.execute(found.where(webhooks.c.job_id == job_id)).mappings().first()
    return None if row is None else Webhook(**row)


def take(connection: Transaction, now: int, until: int) -> Webhook | None:
    """A webhook that is to be looked at ``now``, left to the caller ``until`` then (epoch µs)."""
    found = (
        select(*(webhooks.c[name] for name in Webhook.__slots__))
        .where(webhooks.c.look_at.is_not(None), webhooks.c.look_at <= now)
        .order_by(webhooks.c.look_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = connection.execute(found).mappings().first()
    if row is None:
        return None
    note(connection, row["job_id"], look_at=until)
    return Webhook(**row)


def note(connection: Transaction, job_id: str, **values: Any) -> None:
    """Write down what became of a webhook, and when it is looked at again."""
    of = webhooks.c.job_id == job_id
    connection.execute(update(webhooks).where(of).values(**values))
