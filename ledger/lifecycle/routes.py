"""The routing stage's moves: submitted -> routed -> queued, and what the tick finds.

Many routing stages may run at once: each takes only rows that no other has locked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Self

from sqlalchemy import Connection, bindparam, case, func, or_, select, text, update

from tierqueue.ledger.bulk import among, update_records
from tierqueue.ledger.in_force import pauses, policies
from tierqueue.ledger.in_force.pauses import Pause
from tierqueue.ledger.in_force.policies import OUTDATED
from tierqueue.ledger.lifecycle import flows
from tierqueue.ledger.lifecycle.flows import ItemSelection
from tierqueue.ledger.literals import is_in
from tierqueue.ledger.records import ITEM, READY, Item, ReadyItem
from tierqueue.ledger.tables import items
from tierqueue.router.lifecycle import State, Wait
from tierqueue.router.money import NanoUSD


class RoutedItem(NamedTuple):
    """An item's route, and what the policy made of what it demands."""

    id: str
    """The item's."""
    risk: str | None
    """Whom a wrong answer hurts."""
    sensitivity: str | None
    """How far its payload may go."""
    latency: str | None
    """Whether somebody waits."""
    deadline: int | None
    """Epoch microseconds."""
    max_cost: NanoUSD | None
    """Nano-dollars, over all its calls."""
    floor: str | None
    """The cheapest tier that may try."""
    fallback: Mapping[str, str] | None
    """The tier it may fall to, by what it falls on."""
    budget: str | None
    """Who pays."""
    stated: Mapping[str, Any] | None
    """What it stated itself."""
    tier: str
    """Where it is to be called."""
    deployment: str
    """Which of the tier's deployments."""
    route: Mapping[str, Any]
    """Why there, and on what terms."""
    policy: str | None
    """The digest of the policy that says so."""
    bound: NanoUSD
    """Nano-dollars that the call costs at most."""
    token_bound: int
    """Tokens that the call takes at most."""
    degraded: Mapping[str, Any] | None
    """Where it fell from, where to and on what, if it did."""
    reason: str | None
    """Why it waits, where its deployment cannot serve."""
    flow: str
    """With which items it shares its tier (``flows.name_of``)."""
    due: int
    """Epoch microseconds; the earliest of its flow goes first (``flows.due_at``)."""
    lane: str | None
    """``batch`` where it is collected for a batch, ``live`` where it may not be again."""
    state: str
    """``routed``, or ``waiting`` to be collected."""
    ready_at: int
    """Epoch microseconds; until when it is collected."""
    prompt: str | None
    """The version of the instruction that it is asked under, where not its task type's own."""
    prompt_bytes: int
    """The size of its prompt with that."""

    def of_another(self, item_id: str, due: int, ready_at: int) -> "RoutedItem":
        """The same of an item that differs in these alone."""
        # By place: of so many fields `_replace` takes four times as long.
        before, between, behind = (
            self[1:_DUE_AT],
            self[_DUE_AT + 1 : _READY_AT],
            self[_READY_AT + 1 :],
        )
        return RoutedItem._make((item_id, *before, due, *between, ready_at, *behind))


_DUE_AT, _READY_AT = map(RoutedItem._fields.index, ("due", "ready_at"))


class _DueItem(NamedTuple):
    """An item whose turn it is to go into a slice."""

    ready: ReadyItem
    outdated: bool
    """Whether it was routed under another policy than the one in force."""

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Self:
        """The item of a row of ``_DUE``."""
        return cls(ReadyItem.from_row(row), row[-1])


_DUE = (*READY, OUTDATED.label("outdated"))

_SUBMITTED, _SUBMITTED_LOCKED = (
    ItemSelection(ITEM, Item.from_row, lock=lock) for lock in (False, True)
)
_READY = ItemSelection(_DUE, _DueItem.from_row, (items.c.lost_claims < bindparam("last"),))
_QUEUE = (
    update(items)
    .where(among(items.c.id))
    .values(state=State.QUEUED.value, ready_at=bindparam("again_at"), reason=None)
)


MANY = 2**31 - 1
"""More claims than an item ever loses."""


def submitted(
    connection: Connection, wanted: Mapping[str, int], *, lock: bool = True
) -> list[Item]:
    """Submitted items, of each flow (its name) at most so many, those due first.

    With ``lock`` they are locked for this transaction.
    """
    read = _SUBMITTED_LOCKED if lock else _SUBMITTED
    return flows.first_of(connection, None, wanted, read, {})


def all_submitted(connection: Connection, *, lock: bool = True) -> list[Item] | None:
    """As ``submitted``, all of them where they are few; ``None`` where they are more."""
    return flows.all_if_few(connection, None, _SUBMITTED_LOCKED if lock else _SUBMITTED, {})


_STILL = (
    select(items.c.id, items.c.fence, items.c.ready_at)
    .where(among(items.c.id), is_in(State.SUBMITTED))
    .with_for_update(skip_locked=True)
)


def still_submitted(connection: Connection, seen: Sequence[Item]) -> set[str]:
    """Which of these items, read before without a lock, are as they were; locks them.

    What went on and came back has another fence, or another ``ready_at`` where it was replayed.
    """
    if not seen:
        return set()
    now = connection.execute(_STILL, {"ids": [item.id for item in seen]})
    same = {(row.id, row.fence, row.ready_at) for row in now}
    return {item.id for item in seen if (item.id, item.fence, item.ready_at) in same}


_ARGUMENTS = select(items.c.id, items.c.arguments).where(among(items.c.id))


def arguments(connection: Connection, item_ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """What these items were called with; erased ones are left out."""
    if not item_ids:
        return {}
    rows = connection.execute(_ARGUMENTS, {"ids": list(item_ids)})
    return {row.id: row.arguments for row in rows if row.arguments is not None}


def route(connection: Connection, routed: Sequence[RoutedItem]) -> None:
    """Write chosen routes."""
    update_records(connection, items, ("id",), routed)


def queue(
    connection: Connection,
    tier: str,
    wanted: Mapping[str, int],
    again_at: int,
    paused: Sequence[Pause] = (),
    last: int = MANY,
    held: Sequence[str] = (),
) -> list[ReadyItem]:
    """Move routed items of a tier to ``queued``: of each flow at most so many, those due first.

    Those that have lost ``last`` claims or more are left to ``suspects.queue``.

    The caller sends their slices after the commit; an item not claimed by ``again_at`` (epoch
    microseconds) is found by ``unclaimed``. What is ``paused``, or of a deployment that is ``held``
    back, stays ``routed``; what was routed under another policy than the one in force is routed
    anew instead.
    """
    read = _READY
    if paused or held:
        barred = items.c.deployment.not_in(held)
        read = replace(read, where=(*read.where, *pauses.free(paused), barred))
    given = {"last": last}
    return _queued(connection, flows.first_of(connection, tier, wanted, read, given), again_at)


def queue_all(
    connection: Connection, tier: str, again_at: int, last: int
) -> list[ReadyItem] | None:
    """As ``queue``, all items of a tier where they are few and nothing is paused or held back;
    ``None``, and none of them, where they are more.
    """
    due = flows.all_if_few(connection, tier, _READY, {"last": last})
    return None if due is None else _queued(connection, due, again_at)


def _queued(connection: Connection, due: Sequence[_DueItem], again_at: int) -> list[ReadyItem]:
    policies.route_anew(connection, [item.ready.id for item in due if item.outdated])
    ready = [item.ready for item in due if not item.outdated]
    if ready:
        connection.execute(_QUEUE, {"ids": [item.id for item in ready], "again_at": again_at})
    return ready


_UNCLAIMED = (
    select(*_DUE)
    .where(is_in(State.QUEUED), items.c.ready_at < bindparam("now"))
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)


def unclaimed(connection: Connection, now: int, again_at: int, most: int) -> list[ReadyItem]:
    """Queued items whose slice was not claimed in time, to be sent again."""
    found = connection.execute(_UNCLAIMED, {"now": now, "most": most})
    return _queued(connection, [_DueItem.from_row(row) for row in found], again_at)


def wake_due(connection: Connection, now: int) -> int:
    """Bring back waiting items whose time has come; returns how many."""
    # Chosen and locked first: an update alone locks in an order of its own and may deadlock.
    due = (
        select(items.c.id)
        .where(is_in(State.WAITING), items.c.ready_at <= now, _BY_ITSELF)
        .with_for_update(skip_locked=True)
    )
    # Limits that operators set may let nothing of its size through: another deployment may.
    too_large = items.c.reason == Wait.TOKEN_LIMIT.value
    anew = or_(
        items.c.deployment.is_(None), items.c.lane.in_(("batch", "flex")), too_large, OUTDATED
    )
    back = case((anew, State.SUBMITTED.value), else_=State.ROUTED.value)
    return connection.execute(
        update(items).where(items.c.id.in_(due)).values(state=back, reason=None)
    ).rowcount


# Documents in pieces go on when these have ended: as `ix_items_due` says it, which has none.
_BY_ITSELF = text(f"(items.reason IS NULL OR items.reason <> '{Wait.PIECES.value}')")
NEXT_DUE = select(func.min(items.c.ready_at)).where(is_in(State.WAITING), _BY_ITSELF)
"""When the next waiting item is due, epoch microseconds, if any waits."""

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
