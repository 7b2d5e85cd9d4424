"""The routing stage's moves: submitted -> routed -> queued, and what the tick finds.

Many routing stages may run at once: each takes only rows that no other has locked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    case,
    func,
    literal_column,
    or_,
    select,
    update,
)

from tierqueue.ledger.bulk import among, update_many
from tierqueue.ledger.in_force import pauses, policies
from tierqueue.ledger.in_force.pauses import Pause
from tierqueue.ledger.in_force.policies import OUTDATED
from tierqueue.ledger.session import ItemRow
from tierqueue.ledger.tables import items
from tierqueue.router.lifecycle import State

_WAITS = (State.SUBMITTED.value, State.ROUTED.value, State.WAITING.value, State.QUEUED.value)


def is_in(state: State) -> ColumnElement[bool]:
    """The state as a literal: neither database uses a partial index for a parameter gladly."""
    return items.c.state == literal_column(f"'{state.value}'")


_SUBMITTED = (
    select(
        items.c.id,
        items.c.task,
        items.c.risk,
        items.c.sensitivity,
        items.c.inherits,
        items.c.stated,
        items.c.latency,
        items.c.deadline,
        items.c.max_cost,
        items.c.floor,
        items.c.fallback,
        items.c.degraded,
        items.c.budget,
        items.c.prompt_bytes,
        items.c.messages,
        items.c.output_limit,
        items.c.refused_by,
        items.c.too_small,
        items.c.spent,
        items.c.priority,
        items.c.prefix,
        items.c.fence,
        items.c.submitted_at,
        items.c.ready_at,
    )
    .where(is_in(State.SUBMITTED))
    .order_by(items.c.priority.desc(), items.c.id)
    .limit(bindparam("most"))
)
_SUBMITTED_LOCKED = _SUBMITTED.with_for_update(skip_locked=True)
_READY = (
    select(
        items.c.id,
        items.c.fence,
        items.c.tier,
        items.c.deployment,
        items.c.prefix,
        items.c.token_bound,
        items.c.priority,
        OUTDATED.label("outdated"),
    )
    .where(
        is_in(State.ROUTED),
        items.c.tier == bindparam("tier"),
        items.c.lost_claims < bindparam("last"),
    )
    .order_by(items.c.priority.desc(), items.c.id)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_QUEUE = (
    update(items)
    .where(among(items.c.id))
    .values(state=State.QUEUED.value, ready_at=bindparam("again_at"), reason=None)
)


MANY = 2**31 - 1
"""More claims than an item ever loses."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A routed item on its way into a slice."""

    id: str
    fence: int
    tier: str
    deployment: str
    prefix: str
    token_bound: int


def submitted(connection: Connection, most: int, *, lock: bool = True) -> Sequence[ItemRow]:
    """Up to ``most`` submitted items, most urgent first; with ``lock`` for this transaction."""
    query = _SUBMITTED_LOCKED if lock else _SUBMITTED
    return connection.execute(query, {"most": most}).all()


_STILL = (
    select(items.c.id, items.c.fence, items.c.ready_at)
    .where(among(items.c.id), is_in(State.SUBMITTED))
    .with_for_update(skip_locked=True)
)


def still_submitted(connection: Connection, seen: Sequence[ItemRow]) -> set[str]:
    """Which of these rows, read before without a lock, are as they were; locks them.

    What went on and came back has another fence, or another ``ready_at`` where it was replayed.
    """
    if not seen:
        return set()
    now = connection.execute(_STILL, {"ids": [row.id for row in seen]})
    same = {(row.id, row.fence, row.ready_at) for row in now}
    return {row.id for row in seen if (row.id, row.fence, row.ready_at) in same}


_ARGUMENTS = select(items.c.id, items.c.arguments).where(among(items.c.id))


def arguments(connection: Connection, item_ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """What these items were called with; erased ones are left out."""
    if not item_ids:
        return {}
    rows = connection.execute(_ARGUMENTS, {"ids": list(item_ids)})
    return {row.id: row.arguments for row in rows if row.arguments is not None}


def route(connection: Connection, routed: Sequence[Mapping[str, Any]]) -> None:
    """Write chosen routes: one mapping an item, keyed as the columns, with ``b_id`` its id."""
    update_many(
        connection,
        items,
        ("id",),
        [
            {
                "state": State.ROUTED.value,
                "reason": None,
                **{"id" if name == "b_id" else name: value for name, value in each.items()},
            }
            for each in routed
        ],
    )


def queue(
    connection: Connection,
    tier: str,
    most: int,
    again_at: int,
    paused: Sequence[Pause] = (),
    last: int = MANY,
    held: Sequence[str] = (),
) -> list[Ready]:
    """Move up to ``most`` routed items of a tier to ``queued``, most urgent first.

    Those that have lost ``last`` claims or more are left to ``suspects.queue``.

    The caller sends their slices after the commit; an item not claimed by ``again_at`` (epoch
    microseconds) is found by ``unclaimed``. What is ``paused``, or of a deployment that is ``held``
    back, stays ``routed``; what was routed under another policy than the one in force is routed
    anew instead.
    """
    ready = _READY.where(*pauses.free(paused)) if paused else _READY
    ready = ready.where(items.c.deployment.not_in(held)) if held else ready
    rows = connection.execute(ready, {"tier": tier, "most": most, "last": last}).all()
    return _queued(connection, rows, again_at)


def _queued(connection: Connection, rows: Sequence[ItemRow], again_at: int) -> list[Ready]:
    policies.route_anew(connection, [row.id for row in rows if row.outdated])
    ready = [row for row in rows if not row.outdated]
    if ready:
        connection.execute(_QUEUE, {"ids": [row.id for row in ready], "again_at": again_at})
    return [
        Ready(row.id, row.fence, row.tier, row.deployment, row.prefix, row.token_bound)
        for row in ready
    ]


def unclaimed(connection: Connection, now: int, again_at: int, most: int) -> list[Ready]:
    """Queued items whose slice was not claimed in time, to be sent again."""
    rows = connection.execute(
        select(items, OUTDATED.label("outdated"))
        .where(is_in(State.QUEUED), items.c.ready_at < now)
        .limit(most)
        .with_for_update(skip_locked=True)
    ).all()
    return _queued(connection, rows, again_at)


def wake_due(connection: Connection, now: int) -> int:
    """Bring back waiting items whose time has come; returns how many."""
    # Chosen and locked first: an update alone locks in an order of its own and may deadlock.
    due = (
        select(items.c.id)
        .where(is_in(State.WAITING), items.c.ready_at <= now)
        .with_for_update(skip_locked=True)
    )
    anew = or_(items.c.deployment.is_(None), OUTDATED)
    back = case((anew, State.SUBMITTED.value), else_=State.ROUTED.value)
    return connection.execute(
        update(items).where(items.c.id.in_(due)).values(state=back, reason=None)
    ).rowcount


def past_deadline(connection: Connection, now: int, most: int) -> Sequence[ItemRow]:
    """Items not running whose deadline has passed, locked for this transaction."""
    return connection.execute(
        select(items.c.id, items.c.deadline, items.c.state, items.c.deployment)
        .where(items.c.deadline < now, items.c.ended_at.is_(None), items.c.state.in_(_WAITS))
        .limit(most)
        .with_for_update(skip_locked=True)
    ).all()


def next_due(connection: Connection) -> int | None:
    """When the next waiting item is due (epoch microseconds), if any waits."""
    return connection.execute(
        select(func.min(items.c.ready_at)).where(is_in(State.WAITING))
    ).scalar()


_GIVE_BACK = (
    update(items)
    .where(
        items.c.id == bindparam("b_id"),
        items.c.fence == bindparam("b_fence"),
        items.c.state == State.QUEUED.value,
    )
    .values(state=bindparam("b_state"), ready_at=bindparam("b_ready"), reason=bindparam("b_reason"))
)


def give_back(
    connection: Connection, fences: Mapping[str, int], until: int | None, reason: str | None
) -> None:
    """Queued items that a worker will not claim now: ready again, or waiting until ``until``.

    No trace in the books: nothing was held. Items that moved on in the meantime are left alone.
    """
    if fences:
        state = State.ROUTED if until is None else State.WAITING
        connection.execute(
            _GIVE_BACK,
            [
                {
                    "b_id": item_id,
                    "b_fence": fence,
                    "b_state": state.value,
                    "b_ready": until or 0,
                    "b_reason": reason,
                }
                for item_id, fence in sorted(fences.items())
            ],
        )
