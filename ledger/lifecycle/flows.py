"""Flows: which items share a place as one, which of them goes first, and the first of each.

A flow is the items of one budget, job, task type and deployment that somebody waits for, or that
nobody waits for. Whatever is paused or held back is a whole flow, so that nothing behind it is
looked through. What a process of an older release wrote is in a flow without a name.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    Select,
    bindparam,
    select,
    union_all,
)

from tierqueue.ledger.literals import is_in, is_of, number
from tierqueue.ledger.tables import items
from tierqueue.router.item import TIERS
from tierqueue.router.lifecycle import State
from tierqueue.router.policy.defaults import DEFAULT_DEADLINE_US

URGENT, USUAL = "a", "b"
"""How names of flows begin: those that somebody waits for stand in front in an index."""

MOST = 1024
"""Most flows that one round finds; where there are more, the next goes on behind them."""

FEW = 32
"""Most items that go on without being asked whose they are."""

_AT_ONCE = 32
"""Most flows whose items one statement takes."""


class Flow(NamedTuple):
    """A flow that has items, as its first item says."""

    name: str
    """As its items carry it."""
    budget: str | None
    """Who pays; ``None`` where no item was routed yet and none stated it."""
    job_id: str | None
    """The file that its items came in."""
    task: str
    """The name of their task type."""
    deployment: str | None
    """Where they go, once they are routed."""

    @property
    def names(self) -> Mapping[str, str | None]:
        """What all of its items bear, by the kind of pause that holds them back."""
        return {"budget": self.budget, "job": self.job_id, "task": self.task}


@lru_cache(maxsize=4096)
def name_of(
    *,
    urgent: bool,
    budget: str | None,
    job_id: str | None,
    task: str,
    deployment: str | None = None,
) -> str:
    """The name of a flow: short, and the same in every process."""
    said = json.dumps([budget, job_id, task, deployment])
    return (URGENT if urgent else USUAL) + sha256(said.encode()).hexdigest()[:16]


def is_urgent(name: str) -> bool:
    """Whether somebody waits for the items of this flow."""
    return name.startswith(URGENT)


def due_at(submitted_at: int, deadline: int | None, priority: int) -> int:
    """When an item is due, epoch microseconds: within its flow the earliest goes first.

    Each step of ``priority`` halves the time from the submission to the deadline. The moment stands
    still while others come, so that what waits is overtaken less and less.
    """
    left = DEFAULT_DEADLINE_US if deadline is None else max(0, deadline - submitted_at)
    return submitted_at + (left >> priority)


def _at(tier: str | None) -> list[ColumnElement[bool]]:
    return [is_in(State.SUBMITTED)] if tier is None else [is_in(State.ROUTED), is_of(tier)]


_ONE, _MOST = number(1), number(MOST)


def _heads(tier: str | None, *since: ColumnElement[bool]) -> Select[Any]:
    """The first item of each flow: from one to the next along the index, whatever lies between."""
    order = (items.c.flow, items.c.due, items.c.id)
    first = select(items.c.id).where(*_at(tier), *since)
    first_id = first.order_by(*order).limit(_ONE).scalar_subquery()
    heads = select(first_id.label("id")).cte("heads", recursive=True)
    seen = items.alias("seen")
    following = select(items.c.id).where(*_at(tier), items.c.flow > seen.c.flow)
    following_id = following.order_by(*order).limit(_ONE).correlate(seen).scalar_subquery()
    heads = heads.union_all(
        select(following_id).select_from(heads).join(seen, seen.c.id == heads.c.id)
    )
    found = items.alias("found")
    columns = [found.c[name] for name in ("flow", *Flow._fields[1:])]
    return select(*columns).select_from(heads).join(found, found.c.id == heads.c.id).limit(_MOST)


_PLACES: tuple[str | None, ...] = (None, *TIERS)
_ALL = {place: _heads(place) for place in _PLACES}
_FROM = {place: _heads(place, items.c.flow >= bindparam("since")) for place in _PLACES}


def with_work(connection: Connection, tier: str | None, since: str = "") -> list[Flow]:
    """Up to ``MOST`` flows with routed items of a tier; ``None``: with items to be routed.

    By their names, from ``since`` on: urgent ones first.
    """
    found = _FROM[tier] if since else _ALL[tier]
    return [Flow._make(row) for row in connection.execute(found, {"since": since} if since else {})]


Record = TypeVar("Record")


@dataclass(frozen=True)
class ItemSelection(Generic[Record]):
    """What is read of items that are taken, and what must hold of them."""

    columns: tuple[ColumnElement[Any], ...]
    record: Callable[[Sequence[Any]], Record]
    """Makes the record of a row of ``columns``."""
    where: tuple[ColumnElement[bool], ...] = ()
    lock: bool = True
    """Whether they are locked for the transaction: what another one has locked is passed over."""


def all_if_few(
    connection: Connection,
    tier: str | None,
    read: ItemSelection[Record],
    given: Mapping[str, Any],
) -> list[Record] | None:
    """All items, those of the urgent flows first; ``None`` where they are more than ``FEW``.

    ``tier`` and ``given`` as for ``first_of``.
    """
    rows = connection.execute(_all(read, tier), given).all()
    return [read.record(row) for row in rows] if len(rows) <= FEW else None


@lru_cache(maxsize=32)
def _all(read: ItemSelection[Any], tier: str | None) -> Select[Any]:
    found = (
        select(*read.columns)
        .where(*_at(tier), *read.where)
        .order_by(items.c.flow, items.c.due, items.c.id)
        .limit(number(FEW + 1))
    )
    return found.with_for_update(skip_locked=True) if read.lock else found


def first_of(
    connection: Connection,
    tier: str | None,
    wanted: Mapping[str, int],
    read: ItemSelection[Record],
    given: Mapping[str, Any],
) -> list[Record]:
    """The items due first of each flow of ``wanted``, by its name, at most as many as it says.

    ``tier`` as for ``with_work``; ``given``: the parameters of ``read``.
    """
    found: list[Record] = []
    names = list(wanted)
    for start in range(0, len(names), _AT_ONCE):
        some = names[start : start + _AT_ONCE]
        # A few sizes, so that few statements are compiled.
        size = next(size for size in (1, 4, 16, _AT_ONCE) if size >= len(some))
        parameters: dict[str, Any] = dict(given)
        for at in range(size):
            name = some[at] if at < len(some) else some[0]
            parameters[f"flow{at}"] = name
            parameters[f"most{at}"] = wanted[name] if at < len(some) else 0
        rows = connection.execute(_first(size, read, tier), parameters)
        found += map(read.record, rows)
    return found


@lru_cache(maxsize=32)
def _first(
    size: int, read: ItemSelection[Any], tier: str | None
) -> Select[Any] | CompoundSelect[Any]:
    parts = [_part(at, read, tier) for at in range(size)]
    return union_all(*parts) if size > 1 else parts[0]


def _part(at: int, read: ItemSelection[Any], tier: str | None) -> Select[Any]:
    part = (
        select(*read.columns)
        .where(*_at(tier), items.c.flow == bindparam(f"flow{at}"), *read.where)
        .order_by(items.c.due, items.c.id)
        .limit(bindparam(f"most{at}"))
    )
    part = part.with_for_update(skip_locked=True) if read.lock else part
    # Within a union neither an order nor a limit nor a lock may stand but in a subquery.
    return select(*part.subquery(f"flow_{at}").c)
