"""Items as they came in, the newest first, in pages that cost the same however deep they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from sqlalchemy import (
    ColumnElement,
    and_,
    func,
    literal,
    or_,
    select,
)

from tierqueue.ledger.audit_log import ACTION, Action
from tierqueue.ledger.literals import is_in
from tierqueue.ledger.paging import page
from tierqueue.ledger.records import ITEM, Item
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import actions, attempts, items, promises
from tierqueue.router.item import BelowTier
from tierqueue.router.lifecycle import State
from tierqueue.router.money import NanoUSD

_FEW = 5_000
"""Items in one state that are sorted in no time; more of them are met soon on the way back."""


class ListedItem(NamedTuple):
    """An item as it is listed."""

    id: str
    """A UUID of version 7."""
    task: str
    """The name of its task type."""
    state: State
    """Where it is."""
    reason: str | None
    """Why it waits or ended, as a code."""
    tier: str | None
    """Where it was routed to last."""
    deployment: str | None
    """Which of the tier's deployments."""
    budget: str | None
    """Who pays."""
    job_id: str | None
    """The file that it came in."""
    job_index: int | None
    """Which row of its job, from 0."""
    calls: int
    """Calls made that count towards the retry budget."""
    spent: NanoUSD
    """Nano-dollars, over all its attempts."""
    held: NanoUSD
    """Nano-dollars that its open attempt holds."""
    ready_at: int
    """Epoch microseconds: when it may go on, or, queued, when its slice is overdue."""
    submitted_at: int
    """Epoch microseconds."""
    ended_at: int | None
    """Epoch microseconds."""

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Self:
        """The item of a row of its columns, in its order."""
        item = cls._make(row)
        return item._replace(state=State(item.state))


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemFilter:
    """Which items; ``None`` is any. Submitted from ``since`` on, before ``until`` (epoch µs).

    ``reason`` is a whole reason or its code: ``ceiling`` is a wait for any ceiling.
    """

    state: str | None = None
    reason: str | None = None
    task: str | None = None
    tier: str | None = None
    deployment: str | None = None
    budget: str | None = None
    job: str | None = None
    since: int | None = None
    until: int | None = None


def newest(
    connection: Transaction, meant: ItemFilter, limit: int, after: str | None = None
) -> list[ListedItem]:
    """A page of items; the next one comes ``after`` the id of its last row."""
    stated = {
        items.c.task: meant.task,
        items.c.tier: meant.tier,
        items.c.deployment: meant.deployment,
        items.c.budget: meant.budget,
        items.c.job_id: meant.job,
    }
    found = select(*(items.c[name] for name in ListedItem._fields)).where(
        *(column == value for column, value in stated.items() if value is not None)
    )
    if meant.reason is not None:
        found = found.where(of_reason(meant.reason))
    first: ColumnElement[int] = items.c.submitted_at
    if meant.state is not None:
        in_state = is_in(State(meant.state))
        found = found.where(in_state)
        if _few(connection, in_state):
            # A sum has no index: these few are found by their state and sorted.
            first = items.c.submitted_at + 0
    if meant.since is not None:
        found = found.where(items.c.submitted_at >= meant.since)
    if meant.until is not None:
        found = found.where(items.c.submitted_at < meant.until)
    place = None
    if after is not None:
        asked = select(items.c.submitted_at).where(items.c.id == after)
        place = connection.execute(asked).scalar_one(), after
    ordered = page(found, first, items.c.id, limit, place)
    return [ListedItem.from_row(row) for row in connection.execute(ordered)]


class RecordedItem(NamedTuple):
    """An item that was routed."""

    item: Item
    first: str | None
    """The deployment that it went to first, else who answered it without a call; ``None``: it went
    nowhere."""
    answered_at: int | None
    """Epoch microseconds."""


def recorded(connection: Transaction, since: int, most: int) -> list[RecordedItem]:
    """The newest items that were routed, submitted from ``since`` on (epoch µs); second items are
    left out.
    """
    first = (
        select(attempts.c.deployment)
        .where(attempts.c.item_id == items.c.id)
        .order_by(attempts.c.fence)
        .limit(1)
        .scalar_subquery()
    )
    found = (
        select(*ITEM, func.coalesce(first, items.c.deployment), items.c.state, items.c.ended_at)
        .where(
            items.c.submitted_at >= since,
            items.c.policy.is_not(None),
            items.c.second_to.is_(None),
        )
        .order_by(items.c.submitted_at.desc(), items.c.id.desc())
        .limit(most)
    )
    return [_recorded(Item.from_row(row[:-3]), *row[-3:]) for row in connection.execute(found)]


def _recorded(item: Item, first: str | None, state: str, ended_at: int | None) -> RecordedItem:
    if first is None and item.tier in set(BelowTier):
        first = item.tier
    return RecordedItem(item, first, ended_at if state == State.SUCCEEDED else None)


def of_reason(code: str) -> ColumnElement[bool]:
    """Whether an item waits or ended for this reason, whatever its detail."""
    detailed = items.c.reason.startswith(f"{code} ", autoescape=True)
    # A limiter's reason lists what had no capacity, separated by commas.
    listed = (literal(", ") + items.c.reason + ",").contains(f", {code},", autoescape=True)
    return or_(detailed, listed)


def _few(connection: Transaction, in_state: ColumnElement[bool]) -> bool:
    some = select(items.c.id).where(in_state).limit(_FEW + 1).subquery()
    return connection.execute(select(func.count()).select_from(some)).scalar_one() <= _FEW


class ItemPromise(NamedTuple):
    """A Celery task id that an item was promised to."""

    id: str
    """The task's."""
    made_at: int
    """Epoch microseconds."""
    kept_at: int | None
    """When it was told (epoch microseconds), if it was."""


def owed(connection: Transaction, item_id: str) -> list[ItemPromise]:
    """To which Celery task ids an item was promised, and when each was told."""
    shown = (promises.c.id, promises.c.made_at, promises.c.kept_at)
    # Its own promise by the primary key, those that joined it by the index that has them alone.
    own = and_(promises.c.id == item_id, promises.c.item_id == item_id)
    joined = and_(promises.c.item_id == item_id, promises.c.id != promises.c.item_id)
    found = select(*shown).where(or_(own, joined)).order_by(promises.c.made_at)
    return [ItemPromise._make(row) for row in connection.execute(found)]


def done_to(connection: Transaction, item_id: str, since: int) -> list[Action]:
    """What operators did, ``since`` then (epoch µs), to this very item by its id."""
    named = actions.c.detail["items"].as_string().contains(f'"{item_id}"', autoescape=True)
    found = select(*ACTION).where(actions.c.at >= since, named).order_by(actions.c.id)
    return [Action.from_row(row) for row in connection.execute(found)]
