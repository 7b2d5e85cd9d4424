"""Settle: an attempt's hold becomes its actual cost, and its item moves on, in one transaction.

Whoever writes under an older fence is refused and counted: state, result and promise stay, and
only the charge of its own attempt is brought from what was booked to what is known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from tierqueue.ledger import ceilings
from tierqueue.ledger.ceilings import Entry
from tierqueue.ledger.models import attempts, items
from tierqueue.ledger.promises import Ending
from tierqueue.ledger.session import ItemRow
from tierqueue.router.lifecycle import ENDS, MOVES, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """How one attempt ends, in the ledger's words. Money in nano-dollars, times in epoch µs.

    ``next_state`` is where the item goes if this fence is still the item's; the ``…_more`` counts
    are added to the item's.
    """

    item_id: str
    fence: int
    held: int
    balances: Sequence[str]
    outcome: str
    cost: int
    price_source: str | None = None
    usage: Mapping[str, Any] | None = None
    seconds: float | None = None
    simulated: bool | None = None
    detail: Mapping[str, Any] | None = None
    next_state: State
    reason: str | None = None
    ready_at: int | None = None
    output: Any = None
    receipt: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    refused_by: Sequence[str] | None = None
    calls_more: int = 0
    lost_more: int = 0
    throttles_more: int = 0


@dataclass(slots=True)
class Settled:
    """What the settling changed: ended items (promises are owed) and refused stale fences."""

    ended: list[Ending] = field(default_factory=list)
    stale: list[Settlement] = field(default_factory=list)


_FENCES = (
    select(
        items.c.id,
        items.c.fence,
        items.c.state,
        items.c.spent,
        items.c.calls,
        items.c.lost_claims,
        items.c.throttles,
        items.c.refused_by,
    )
    .where(items.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(items.c.id)
    .with_for_update()
)
_ITEM_COLUMNS = [
    "state",
    "reason",
    "ready_at",
    "spent",
    "calls",
    "lost_claims",
    "throttles",
    "refused_by",
    "output",
    "receipt",
    "error",
    "ended_at",
]
_ATTEMPT_COLUMNS = [
    "ended_at",
    "outcome",
    "cost",
    "price_source",
    "usage",
    "seconds",
    "simulated",
    "detail",
]
_SETTLE_ITEM = (
    update(items)
    .where(items.c.id == bindparam("b_id"))
    .values(
        held=0,
        lease_until=None,
        **{name: bindparam(f"b_{name}", type_=items.c[name].type) for name in _ITEM_COLUMNS},
    )
)
_SETTLE_ATTEMPT = (
    update(attempts)
    .where(attempts.c.item_id == bindparam("b_id"), attempts.c.fence == bindparam("b_fence"))
    .values(
        {name: bindparam(f"b_{name}", type_=attempts.c[name].type) for name in _ATTEMPT_COLUMNS}
    )
)


def settle(connection: Connection, settlements: Sequence[Settlement], now: int) -> Settled:
    """Settle attempts to what they cost and move their items on, each under its own fence."""
    result = Settled()
    if not settlements:
        return result
    ids = sorted({each.item_id for each in settlements})
    rows = {row.id: row for row in connection.execute(_FENCES, {"ids": ids})}
    moved: list[dict[str, Any]] = []
    fresh: list[Settlement] = []
    for each in settlements:
        row = rows[each.item_id]
        if row.fence != each.fence or row.state != State.RUNNING:
            result.stale.append(each)
            continue
        if each.next_state not in MOVES[State.RUNNING]:
            raise ValueError(f"item {each.item_id}: no move from running to {each.next_state}")
        fresh.append(each)
        ends = each.next_state in ENDS
        moved.append(_moved(each, row, now, ends=ends))
        if ends:
            result.ended.append(_ending(each))
    if fresh:
        connection.execute(_SETTLE_ITEM, moved)
        connection.execute(_SETTLE_ATTEMPT, [_closed(each, now) for each in fresh])
        ceilings.write(connection, now, [entry for each in fresh for entry in _entries(each)])
    for each in result.stale:
        _correct(connection, each, now)
    return result


def _moved(each: Settlement, row: ItemRow, now: int, *, ends: bool) -> dict[str, Any]:
    return {
        "b_id": each.item_id,
        "b_state": each.next_state.value,
        "b_reason": each.reason,
        "b_ready_at": each.ready_at if each.ready_at is not None else now,
        "b_spent": row.spent + each.cost,
        "b_calls": row.calls + each.calls_more,
        "b_lost_claims": row.lost_claims + each.lost_more,
        "b_throttles": row.throttles + each.throttles_more,
        "b_refused_by": row.refused_by if each.refused_by is None else list(each.refused_by),
        "b_output": each.output,
        "b_receipt": each.receipt,
        "b_error": each.error,
        "b_ended_at": now if ends else None,
    }


def _closed(each: Settlement, now: int) -> dict[str, Any]:
    return {
        "b_id": each.item_id,
        "b_fence": each.fence,
        "b_ended_at": now,
        "b_outcome": each.outcome,
        "b_cost": each.cost,
        "b_price_source": each.price_source,
        "b_usage": each.usage,
        "b_seconds": each.seconds,
        "b_simulated": each.simulated,
        "b_detail": each.detail,
    }


def _ending(each: Settlement) -> Ending:
    answer = None
    if each.next_state is State.SUCCEEDED:
        answer = {"output": each.output, "receipt": each.receipt}
    return Ending(
        item_id=each.item_id, state=each.next_state.value, answer=answer, error=each.error
    )


def _entries(each: Settlement) -> list[Entry]:
    kind = "settle" if each.cost else "release"
    return [
        Entry(balance, each.item_id, each.fence, kind, -each.held, each.cost)
        for balance in each.balances
    ]


def _correct(connection: Connection, each: Settlement, now: int) -> None:
    """A late reply under an old fence: the attempt's booked charge becomes the actual one."""
    attempt = connection.execute(
        select(attempts)
        .where(attempts.c.item_id == each.item_id, attempts.c.fence == each.fence)
        .with_for_update()
    ).one()
    if attempt.ended_at is None or attempt.outcome not in ("unknown", "lost"):
        # Settled before under the same fence (a repeated message): nothing is owed any more.
        return
    difference = each.cost - attempt.cost
    connection.execute(_SETTLE_ATTEMPT, [_closed(each, attempt.ended_at)])
    connection.execute(
        update(items).where(items.c.id == each.item_id).values(spent=items.c.spent + difference)
    )
    if difference:
        ceilings.write(
            connection,
            now,
            [
                Entry(balance, each.item_id, each.fence, "correct", 0, difference)
                for balance in attempt.balances
            ],
        )
