"""Ends of items that are not running, as dead letters: what happened, and what to do about it."""

from typing import Any

from sqlalchemy import Connection, bindparam, select

from tierqueue.ledger.ceilings.books import Full
from tierqueue.ledger.in_force import conditions
from tierqueue.ledger.lifecycle.items import Death, die
from tierqueue.ledger.results.promises import Ends
from tierqueue.ledger.tables import items
from tierqueue.router.condition import Condition
from tierqueue.router.lifecycle import State
from tierqueue.router.money import format_usd

_WAITS = (State.SUBMITTED.value, State.ROUTED.value, State.WAITING.value, State.QUEUED.value)


def expired(item_id: str, deadline: int, now: int, waited_for: Condition | None = None) -> Death:
    """The dead letter of an item whose deadline has passed.

    ``waited_for``: the condition of the deployment that it is routed to.
    """
    late = (now - deadline) / 1e6
    fields: dict[str, Any] = {"item": item_id, "deadline": deadline, "late_seconds": late}
    because = ""
    if waited_for is not None and waited_for.held:
        seconds = (now - (waited_for.since or now)) / 1e6
        because = (
            f"; it waited for {waited_for.deployment}: {waited_for.in_words()}, {seconds:.0f} s"
        )
        fields["waited_for"] = {
            "deployment": waited_for.deployment,
            "code": waited_for.code,
            "since": waited_for.since,
        }
    message = (
        f"item {item_id} missed its deadline by {late:.1f} s{because}: replay it with a later one"
    )
    return Death(item_id, "deadline", message, fields)


def ceiling_exceeded(item_id: str, full: Full) -> Death:
    """The dead letter of an item that a ceiling can never cover."""
    return Death(
        item_id,
        "cost_ceiling",
        f"item {item_id} needs up to {format_usd(full.needed)}, but ceiling {full.ceiling} of"
        f" {format_usd(full.limit)} has {format_usd(full.spent)} spent and"
        f" {format_usd(full.held)} held: raise it and replay",
        {
            "item": item_id,
            "ceiling": full.ceiling,
            "limit": full.limit,
            "spent": full.spent,
            "held": full.held,
            "needed": full.needed,
        },
    )


_OVERDUE = (
    select(items.c.id, items.c.deadline, items.c.deployment)
    .where(
        items.c.deadline < bindparam("now"), items.c.ended_at.is_(None), items.c.state.in_(_WAITS)
    )
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)


def end_overdue(connection: Connection, now: int, most: int) -> Ends:
    """End up to ``most`` items that are not running and whose deadline has passed."""
    rows = connection.execute(_OVERDUE, {"now": now, "most": most}).all()
    known = conditions.by_deployment(connection) if rows else {}
    deaths = [expired(row.id, row.deadline, now, known.get(row.deployment)) for row in rows]
    return die(connection, deaths, now)
