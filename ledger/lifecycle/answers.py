"""Answers that took no call: items that end as soon as they are routed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from tierqueue.ledger.bulk import update_many
from tierqueue.ledger.lifecycle.routes import Routed
from tierqueue.ledger.results.promises import Ending, Ends, ends_of
from tierqueue.ledger.tables import items
from tierqueue.router.item import Below
from tierqueue.router.lifecycle import State

_SPARED = dict.fromkeys(("deployment", "bound", "token_bound"))
"""What a route says of the call that is spared; an item routed before no longer says it."""


@dataclass(frozen=True, slots=True)
class Answered:
    """An item's answer and receipt, and who gave it (``by``); ``routed`` is where it would have
    gone, and what it demands; ``of``: the item whose answer it is.
    """

    by: Below
    routed: Routed
    output: Mapping[str, Any]
    receipt: Mapping[str, Any]
    of: str | None = None


def answer(connection: Connection, answered: Sequence[Answered], at: int) -> Ends:
    """End submitted items, whose rows the caller has locked, with their answers."""
    rows = []
    for one in answered:
        ended = {"state": State.SUCCEEDED.value, "ended_at": at, "reason": None}
        said = {"tier": one.by.value, "output": one.output, "receipt": one.receipt}
        rows.append({**one.routed._asdict(), **_SPARED, **ended, **said})
    update_many(connection, items, ("id",), rows)
    ended_items = [
        Ending(
            item_id=one.routed.id,
            state=State.SUCCEEDED,
            answer={"output": one.output, "receipt": one.receipt},
            error=None,
        )
        for one in answered
    ]
    return ends_of(connection, ended_items)
