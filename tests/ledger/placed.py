"""Items placed in a ledger as a test needs them."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import insert, select

from tierqueue.ledger.bulk import upsert
from tierqueue.ledger.ceilings.balance import Balance
from tierqueue.ledger.lifecycle.items import NewItem, new_id, prepare
from tierqueue.ledger.session import Ledger, Transaction
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import balances, items


def place(ledger: Ledger, state: str, **columns: Any) -> str:
    """Put one item into ``state``; returns its id."""
    with ledger.write() as connection:
        at = database_now(connection)
        row: dict[str, Any] = {
            "id": new_id(),
            "task": "tierqueue.complete",
            "arguments": {"prompt": "hello"},
            "prefix": "p",
            "prompt_bytes": 5,
            "messages": 2,
            "output_limit": 16,
            "priority": 5,
            "fingerprint": "f",
            "state": state,
            "tier": "gpu",
            "deployment": "house",
            "budget": "default",
            "bound": 0,
            "token_bound": 32,
            "ready_at": at,
            "fence": 0,
            "calls": 0,
            "lost_claims": 0,
            "throttles": 0,
            "spent": 0,
            "held": 0,
            "cancel_requested": False,
            "submitted_at": at,
            "ended_at": at if state in ("succeeded", "dead", "cancelled") else None,
            **columns,
        }
        connection.execute(insert(items), row)
    return str(row["id"])


def column(ledger: Ledger, item_id: str, name: str) -> Any:
    """One column of one item."""
    with ledger.read() as connection:
        return connection.execute(select(items.c[name]).where(items.c.id == item_id)).scalar_one()


def commit(connection: Transaction, new: Sequence[NewItem]) -> None:
    """Submit items that nobody waits for by name."""
    prepare(connection.dialect.name, new, database_now(connection)).write(connection)


def balance(ledger: Ledger, scope: str, name: str, window: str, start: str) -> Balance:
    """A ceiling's balance, from which nothing is spent."""
    made = Balance(scope, name, window, start)
    with ledger.write() as connection:
        new = upsert(connection, balances).values(id=made.id, spent=0, held=0, peak=0)
        connection.execute(new.values(**asdict(made)).on_conflict_do_nothing())
    return made
