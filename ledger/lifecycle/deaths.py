"""Ends of items that are not running: dead letters, and answers that took no call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, select

from tierqueue.ledger.bulk import update_many
from tierqueue.ledger.ceilings.books import Shortfall
from tierqueue.ledger.in_force import conditions
from tierqueue.ledger.lifecycle.items import Death, die
from tierqueue.ledger.lifecycle.routes import RoutedItem
from tierqueue.ledger.results.promises import Ending, Ends, ends_of
from tierqueue.ledger.tables import items
from tierqueue.router.condition import Condition
from tierqueue.router.item import BelowTier
from tierqueue.router.lifecycle import State
from tierqueue.router.money import format_usd
from tierqueue.router.policy.duration import SECOND_US

_WAITS = (State.SUBMITTED.value, State.ROUTED.value, State.WAITING.value, State.QUEUED.value)


def expired(item_id: str, deadline: int, now: int, waited_for: Condition | None = None) -> Death:
    """The dead letter of an item whose deadline has passed.

    ``waited_for``: the condition of the deployment that it is routed to.
    """
    late = (now - deadline) / SECOND_US
    fields: dict[str, Any] = {"item": item_id, "deadline": deadline, "late_seconds": late}
    because = ""
    if waited_for is not None and waited_for.held:
        seconds = (now - (waited_for.since or now)) / SECOND_US
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


def ceiling_exceeded(item_id: str, full: Shortfall) -> Death:
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


_SPARED = dict.fromkeys(("deployment", "bound", "token_bound"))
"""What a route says of the call that is spared; an item routed before no longer says it."""


@dataclass(frozen=True, slots=True)
class AnswerWithoutCall:
    """An item's answer and receipt, and who gave it (``by``); ``routed`` is where it would have
    gone, and what it demands; ``of``: the item whose answer it is.
    """

    by: BelowTier
    routed: RoutedItem
    output: Mapping[str, Any]
    receipt: Mapping[str, Any]
    of: str | None = None


def answer(connection: Connection, answered: Sequence[AnswerWithoutCall], at: int) -> Ends:
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
