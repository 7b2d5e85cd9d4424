"""Settle: an attempt's hold becomes its actual cost, and its item moves on, in one transaction.

Whoever writes under an older fence is refused and counted: state, result and promise stay, and
only the charge of its own attempt is brought from what was booked to what is known.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, select, update

from tierqueue.ledger.bulk import (
    PreparedRows,
    among,
    insert_many,
    prepare_update,
    update_many,
    upsert,
)
from tierqueue.ledger.ceilings import books
from tierqueue.ledger.ceilings.books import Entry
from tierqueue.ledger.in_force import evidence
from tierqueue.ledger.in_force.evidence import JudgedAnswer
from tierqueue.ledger.lifecycle import second_items
from tierqueue.ledger.lifecycle.items import fall_back
from tierqueue.ledger.lifecycle.second_items import SecondItemTerms
from tierqueue.ledger.records import Fence
from tierqueue.ledger.results.promises import Ending, Ends, ends_of
from tierqueue.ledger.tables import attempts, items, refused_answers, reviews
from tierqueue.router.lifecycle import ENDS, MOVES, State
from tierqueue.router.money import NOTHING, NanoUSD


@dataclass(frozen=True, slots=True, kw_only=True)
class Parking:
    """Until when a person may decide (epoch µs), and whose it is."""

    due: int
    assignee: str | None = None


# Not frozen: of so many fields that takes four times as long to make. Nobody changes one.
@dataclass(slots=True, kw_only=True)
class Settlement:
    """How one attempt ends, in the ledger's words. Money in nano-dollars, times in epoch µs.

    ``counted``: whether ceilings count the cost. ``judged``: what the answer shows of its
    deployment. ``next_state`` is where the item goes if this fence is still the item's; the
    ``…_more`` counts are added to the item's. ``lane``: by which alone it may go on. ``refused``:
    the answer that was refused, where it is to be kept; ``parked``: with ``State.REVIEW`` alone;
    ``again``: items that are to answer the same again, with ``State.SUCCEEDED`` alone.
    """

    item_id: str
    fence: Fence
    held: NanoUSD
    balances: Sequence[str]
    outcome: str
    cost: NanoUSD
    counted: bool = True
    price_source: str | None = None
    usage: Mapping[str, Any] | None = None
    seconds: float | None = None
    simulated: bool | None = None
    detail: Mapping[str, Any] | None = None
    confidence: float | None = None
    next_state: State
    reason: str | None = None
    ready_at: int | None = None
    output: Any = None
    receipt: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    refused_by: Sequence[str] | None = None
    too_small: Mapping[str, str] | None = None
    degraded: Mapping[str, str] | None = None
    lane: str | None = None
    judged: JudgedAnswer | None = None
    refused: Any = field(default=None, repr=False)
    parked: Parking | None = None
    again: Sequence[SecondItemTerms] = ()
    calls_more: int = 0
    lost_more: int = 0
    throttles_more: int = 0


@dataclass(frozen=True, slots=True)
class SettlementResult:
    """What the settling changed: which items ended, and which stale fences were refused."""

    ends: Ends
    stale: list[Settlement]


BOOKED = ("unknown", "lost")
"""Outcomes whose cost was booked without the provider's word, and may be corrected by it."""

_CLAIMED = (State.RUNNING, State.HANDED_OVER)

_COUNTS = ("spent", "attributed", "calls", "lost_claims", "throttles")
"""What a settlement adds to its item's row."""

_ENDED = (
    select(items.c.id).where(among(items.c.id), items.c.ended_at.is_not(None)).order_by(items.c.id)
)
_FENCES = (
    select(
        items.c.id,
        items.c.fence,
        items.c.state,
        items.c.cancel_requested,
        items.c.erased_at,
        items.c.part_of,
    )
    .where(among(items.c.id))
    .order_by(items.c.id)
    .with_for_update()
)


@dataclass(frozen=True, slots=True)
class PreparedSettlements:
    """Settlements ready to be written: what takes time was done before the transaction."""

    settlements: Sequence[Settlement]
    now: int
    items: PreparedRows
    attempts: PreparedRows


def prepare(dialect: str, settlements: Sequence[Settlement], now: int) -> PreparedSettlements:
    """Make settlements ready for ``settle``; ``dialect`` and ``now`` are the ledger's."""
    moved, closed = (
        [_moved(settlement, now) for settlement in settlements],
        [_closed(settlement, now) for settlement in settlements],
    )
    return PreparedSettlements(
        settlements,
        now,
        prepare_update(dialect, items, ("id",), moved, adding=_COUNTS),
        prepare_update(dialect, attempts, ("item_id", "fence"), closed),
    )


def settle(connection: Connection, ready: PreparedSettlements) -> SettlementResult:
    """Settle attempts to what they cost and move their items on, each under its own fence."""
    if not ready.settlements:
        return SettlementResult(Ends([], []), [])
    stale: list[Settlement] = []
    ids = sorted({settlement.item_id for settlement in ready.settlements})
    rows = {row.id: row for row in connection.execute(_FENCES, {"ids": ids})}
    fresh: dict[str, Settlement] = {}
    for settlement in ready.settlements:
        row = rows.get(settlement.item_id)
        held = row is not None and row.state in _CLAIMED and row.fence == settlement.fence
        if row is None or not held or settlement.item_id in fresh:
            stale.append(settlement)
            continue
        if settlement.next_state not in MOVES[State(row.state)]:
            raise ValueError(
                f"item {settlement.item_id}: no move from {row.state} to {settlement.next_state}"
            )
        stopped = row.cancel_requested and settlement.next_state not in ENDS
        kept = settlement if row.erased_at is None else _without_payload(settlement)
        fresh[settlement.item_id] = _cancelled(kept) if stopped else kept
    settled = list(fresh.values())
    if settled != list(ready.settlements):
        ready = prepare(connection.dialect.name, settled, ready.now)
    ready.items.write(connection)
    ready.attempts.write(connection)
    for column in ("refused_by", "too_small", "lane"):
        told = [
            {"id": settlement.item_id, column: said}
            for settlement in settled
            if (said := getattr(settlement, column)) is not None
        ]
        update_many(connection, items, ("id",), told)
    fall_back(
        connection,
        {
            settlement.item_id: settlement.degraded
            for settlement in settled
            if settlement.degraded is not None
        },
    )
    _park(connection, settled, ready.now)
    written = [entry for settlement in settled for entry in _entries(settlement)]
    more: Counter[str | None] = Counter()
    for done in settled:
        more[rows[done.item_id].part_of] += done.cost
    for write in stale:
        entries, difference = _correct(connection, write)
        written += entries
        if difference:
            more[rows[write.item_id].part_of] += difference
    _end_late(connection, more)
    books.write(connection, ready.now, written)
    for done in settled:
        if done.again:
            second_items.make(connection, done.item_id, done.again, ready.now)
    evidence.add(connection, [done.judged for done in settled if done.judged is not None])
    ended = [_ending(settlement) for settlement in settled if settlement.next_state in ENDS]
    return SettlementResult(ends_of(connection, ended), stale)


def _end_late(connection: Connection, more: Mapping[str | None, int]) -> None:
    """What pieces cost after their document ended (it was cancelled) is its cost too; ``more`` by
    document, and ``None`` where there is none.
    """
    asked = sorted(one for one, cost in more.items() if one is not None and cost)
    if not asked:
        return
    ended = connection.execute(_ENDED, {"ids": asked}).scalars()
    late = [{"id": document, "spent": more[document]} for document in ended]
    prepare_update(connection.dialect.name, items, ("id",), late, ("spent",)).write(connection)


def _park(connection: Connection, settled: Sequence[Settlement], now: int) -> None:
    """Write down what waits for a person, and the answers that were refused."""
    answers = [
        {"item_id": one.item_id, "fence": one.fence, "answer": one.refused}
        for one in settled
        if one.refused is not None
    ]
    if answers:
        insert_many(connection, refused_answers, answers)
    for one in settled:
        if one.parked is None or one.next_state is not State.REVIEW:
            continue
        task = select(items.c.task).where(items.c.id == one.item_id).scalar_subquery()
        row = {
            "task": task,
            "reason": one.reason,
            "parked_at": now,
            "due": one.parked.due,
            "assignee": one.parked.assignee,
            "decided_at": None,
            "decision": None,
            "by": None,
        }
        parked = upsert(connection, reviews).values(item_id=one.item_id, **row)
        connection.execute(parked.on_conflict_do_update(index_elements=["item_id"], set_=row))


def _cancelled(settlement: Settlement) -> Settlement:
    """An item that somebody cancelled while it ran does not go on, whatever became of the call."""
    error = {
        "reason": "cancelled",
        "message": f"item {settlement.item_id} was cancelled while it ran",
        "fields": {"item": settlement.item_id},
    }
    return replace(
        settlement, next_state=State.CANCELLED, reason="cancelled", ready_at=None, error=error
    )


def _without_payload(settlement: Settlement) -> Settlement:
    """Of an item that was erased while it ran, nothing is kept that says what it answered."""
    return replace(settlement, output=None, refused=None, error=None, detail=None, again=())


def _moved(settlement: Settlement, now: int) -> dict[str, Any]:
    return {
        "id": settlement.item_id,
        "state": settlement.next_state.value,
        "reason": settlement.reason,
        "ready_at": settlement.ready_at if settlement.ready_at is not None else now,
        "lease_until": None,
        "spent": settlement.cost,
        "attributed": NOTHING if settlement.counted else settlement.cost,
        "held": 0,
        "calls": settlement.calls_more,
        "lost_claims": settlement.lost_more,
        "throttles": settlement.throttles_more,
        "output": settlement.output,
        "receipt": settlement.receipt,
        "error": settlement.error,
        "ended_at": now if settlement.next_state in ENDS else None,
    }


def _closed(settlement: Settlement, ended_at: int) -> dict[str, Any]:
    return {
        "item_id": settlement.item_id,
        "fence": settlement.fence,
        "ended_at": ended_at,
        "outcome": settlement.outcome,
        "cost": settlement.cost,
        "price_source": settlement.price_source,
        "usage": settlement.usage,
        "seconds": settlement.seconds,
        "simulated": settlement.simulated,
        "detail": settlement.detail,
        "confidence": settlement.confidence,
    }


def _ending(settlement: Settlement) -> Ending:
    answer = None
    if settlement.next_state is State.SUCCEEDED:
        answer = {"output": settlement.output, "receipt": settlement.receipt}
    return Ending(
        item_id=settlement.item_id,
        state=settlement.next_state,
        answer=answer,
        error=settlement.error,
    )


def _entries(settlement: Settlement) -> list[Entry]:
    kind = "settle" if settlement.cost else "release"
    return [
        Entry(
            balance, settlement.item_id, settlement.fence, kind, -settlement.held, settlement.cost
        )
        for balance in settlement.balances
    ]


def _correct(connection: Connection, settlement: Settlement) -> tuple[list[Entry], int]:
    """A late reply under an old fence: the attempt's booked charge becomes the actual one. Returns
    what is to be written for it, and how much more it is.

    The attempt's outcome becomes ``late``: what its reply would have been is kept in its detail,
    since it was not accepted.
    """
    attempt = connection.execute(
        select(attempts).where(
            attempts.c.item_id == settlement.item_id, attempts.c.fence == settlement.fence
        )
    ).one_or_none()
    if attempt is None or attempt.outcome not in BOOKED or settlement.outcome in BOOKED:
        # Settled before under the same fence (a repeated message), or no wiser than the books.
        return [], 0
    late = replace(
        settlement,
        outcome="late",
        detail={**(settlement.detail or {}), "came_as": settlement.outcome},
    )
    update_many(connection, attempts, ("item_id", "fence"), [_closed(late, attempt.ended_at)])
    if not (difference := settlement.cost - attempt.cost):
        return [], 0
    connection.execute(
        update(items)
        .where(items.c.id == settlement.item_id)
        .values(
            spent=items.c.spent + difference,
            attributed=items.c.attributed + (0 if settlement.counted else difference),
        )
    )
    entries = [
        Entry(balance, settlement.item_id, settlement.fence, "correct", 0, difference)
        for balance in attempt.balances
    ]
    return entries, difference
