"""Second items: what an item was accepted for, answered once more by somebody else, to compare.

A second item is made in the transaction that settles the first, or never. It owes nobody anything:
no promise, no row of a job, no dead letter that is announced. Whatever becomes of it, the first
item's answer stays as it was told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, ScalarSelect, bindparam, insert, literal, select

from tierqueue.ledger.bulk import among
from tierqueue.ledger.ceilings import books
from tierqueue.ledger.lifecycle.flows import due_at, name_of
from tierqueue.ledger.lifecycle.items import new_id
from tierqueue.ledger.tables import item_contents, items
from tierqueue.router.lifecycle import State


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondItemTerms:
    """What a second item is for and demands; ``bound``: nano-dollars that its call can cost.

    ``stated``: its demands, which take the place of the first item's; ``sensitivity``: the least
    that it is guarded as; ``counted``: whether ceilings count what it costs; ``lane``: by which
    alone it may go.
    """

    purpose: str
    pinned: str
    candidate: str | None
    stated: Mapping[str, Any]
    sensitivity: str
    budget: str | None
    task: str
    lane: str | None
    bound: int
    counted: bool


_COPIED = (
    *("task", "arguments", "prefix", "prompt_bytes", "messages", "output_limit", "metadata"),
    *("min_confidence", "images", "refused_by", "too_small", "prompt"),
)
"""What a second item has in common with the first: all that its request is made from, who was found
unfit for it, and by which keys an erasure finds it."""

_NONE_YET = ("fence", "calls", "lost_claims", "throttles", "spent", "held", "priority")


def make(
    connection: Connection, first: str, seconds: Sequence[SecondItemTerms], at: int
) -> list[str]:
    """Submit the second items of ``first``, whose row the caller has locked and ends; their ids.

    One that its purpose's ceiling could never cover is not made. ``at``: epoch microseconds.
    """
    made: list[str] = []
    for second in seconds:
        scope = ("purpose", second.purpose)
        if not second.counted or books.may_cover(connection, at, scope, second.bound):
            made.append(_made(connection, first, second, at))
    return made


def _made(connection: Connection, first: str, second: SecondItemTerms, at: int) -> str:
    item_id = new_id()
    own: dict[str, Any] = {
        **dict.fromkeys(_NONE_YET, 0),
        "id": item_id,
        "purpose": second.purpose,
        "second_to": first,
        "pinned": second.pinned,
        "candidate": second.candidate,
        "stated": dict(second.stated),
        "inherits": second.sensitivity,
        "budget": second.budget,
        "lane": second.lane,
        "state": State.SUBMITTED.value,
        "fingerprint": "",
        "fresh": True,
        "cancel_requested": False,
        "submitted_at": at,
        "ready_at": at,
        # Nobody waits for it: its dead letter stands on no queue, and no hook is told of it.
        "announced_at": at,
        "hooked_at": at,
        "flow": name_of(urgent=False, budget=second.budget, job_id=None, task=second.task),
        "due": due_at(at, None, 0),
    }
    columns = [items.c[name] for name in _COPIED]
    values = [bindparam(f"b_{name}", own[name], type_=items.c[name].type) for name in own]
    row = select(*columns, *values).where(items.c.id == first)
    connection.execute(insert(items).from_select([*_COPIED, *own], row))
    carried = select(literal(item_id), item_contents.c.sha256)
    carried = carried.where(item_contents.c.item_id == first)
    connection.execute(insert(item_contents).from_select(["item_id", "sha256"], carried))
    return item_id


def of_firsts(connection: Connection, firsts: Sequence[str]) -> list[str]:
    """The ids of the second items of these items."""
    found = select(items.c.id).where(items.c.second_to.is_not(None), among(items.c.second_to))
    return list(connection.execute(found.order_by(items.c.id), {"ids": list(firsts)}).scalars())


def job_of_first() -> ScalarSelect[Any]:
    """Of a second item the job of the first, whose ceiling covers it; of any other nothing."""
    first = items.alias("first")
    return select(first.c.job_id).where(first.c.id == items.c.second_to).scalar_subquery()
