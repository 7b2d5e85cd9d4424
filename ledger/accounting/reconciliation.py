"""Reconciliation: the books' charges beside a provider's, and unknown ones brought to the actual
cost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Integer, case, cast, func, select

from tierqueue.ledger import audit_log
from tierqueue.ledger.bulk import among
from tierqueue.ledger.lifecycle.settlements import BOOKED, Settlement, prepare, settle
from tierqueue.ledger.records import Fence
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import attempts, items
from tierqueue.router.lifecycle import State
from tierqueue.router.money import NOTHING, NanoUSD
from tierqueue.router.outcome import Usage
from tierqueue.router.policy.duration import DAY_US

_EPOCH = date(1970, 1, 1)

Call = tuple[str, int]
"""An item's id and the fence of one attempt."""


@dataclass(frozen=True, slots=True)
class DailyCharge:
    """What the books charged a deployment on one day (UTC, of the call's begin), in nano-dollars;
    ``unknown`` is the part of it that was booked for lost replies.
    """

    cost: int
    unknown: int
    calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownCharge:
    """A call whose hold was booked because its reply was lost."""

    call: Call
    day: date
    cost: int
    simulated: bool | None
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """What an unknown charge turned out to be, in nano-dollars, with the tokens billed."""

    charge: UnknownCharge
    cost: int
    input_tokens: int
    output_tokens: int


def booked(
    connection: Transaction, deployment: str, first: date, last: date
) -> dict[date, DailyCharge]:
    """What was charged on each day from ``first`` to ``last``; days without a call are left out."""
    day = cast(attempts.c.started_at // DAY_US, Integer)
    unknown = case((attempts.c.outcome.in_(BOOKED), attempts.c.cost))
    rows = connection.execute(
        select(
            day,
            func.coalesce(func.sum(attempts.c.cost), 0),
            func.coalesce(func.sum(unknown), 0),
            func.count(),
        )
        .where(*_of(deployment, first, last))
        .group_by(day)
        .order_by(day)
    )
    return {
        _EPOCH + timedelta(days=row[0]): DailyCharge(int(row[1]), int(row[2]), row[3])
        for row in rows
    }


def unknown_charges(
    connection: Transaction, deployment: str, first: date, last: date
) -> list[UnknownCharge]:
    """The unknown charges of these days, in the order of their calls."""
    rows = connection.execute(
        select(attempts)
        .where(*_of(deployment, first, last), attempts.c.outcome.in_(BOOKED))
        .order_by(attempts.c.item_id, attempts.c.fence)
    )
    return [
        UnknownCharge(
            call=(row.item_id, row.fence),
            day=_EPOCH + timedelta(days=row.started_at // DAY_US),
            cost=row.cost,
            simulated=row.simulated,
            detail=row.detail or {},
        )
        for row in rows
    ]


def fences(
    connection: Transaction, deployment: str, item_ids: Sequence[str]
) -> dict[str, list[int]]:
    """The fences of every attempt that was made for these items on the deployment."""
    found: dict[str, list[int]] = {}
    asked = (
        select(attempts.c.item_id, attempts.c.fence)
        .where(among(attempts.c.item_id), attempts.c.deployment == deployment)
        .order_by(attempts.c.item_id, attempts.c.fence)
    )
    for item_id, fence in connection.execute(asked, {"ids": list(item_ids)}):
        found.setdefault(item_id, []).append(fence)
    return found


def resolve(
    connection: Transaction, resolved: Sequence[Resolution], *, source: str, by: str, now: int
) -> int:
    """Correct unknown charges to what they were; returns by how much the books moved.

    Each is a ``correct`` entry in every ceiling the call stood under; state, result and promise of
    the item stay. A late reply of the same call changes nothing any more. ``source`` names the
    export on each charge.
    """
    open_still = _still_unknown(connection, resolved)
    moved = sum(resolution.cost - resolution.charge.cost for resolution in open_still)
    settlements = [_settlement(resolution, source) for resolution in open_still]
    settle(connection, prepare(connection.dialect.name, settlements, now))
    if open_still:
        said = {"export": source, "calls": len(open_still), "moved": moved}
        audit_log.note(connection, by=by, what="reconcile", detail=said)
    return moved


def _still_unknown(connection: Transaction, resolved: Sequence[Resolution]) -> list[Resolution]:
    """Those whose late reply has not come meanwhile; their items are locked from now on."""
    ids = {"ids": sorted({resolution.charge.call[0] for resolution in resolved})}
    locked = select(items.c.id).where(among(items.c.id)).order_by(items.c.id).with_for_update()
    connection.execute(locked, ids).all()
    asked = select(attempts.c.item_id, attempts.c.fence).where(
        among(attempts.c.item_id), attempts.c.outcome.in_(BOOKED)
    )
    unknown = {(row.item_id, row.fence) for row in connection.execute(asked, ids)}
    return [resolution for resolution in resolved if resolution.charge.call in unknown]


def _settlement(resolved: Resolution, source: str) -> Settlement:
    item_id, fence = resolved.charge.call
    # Whatever was held is spent by now: the settling finds a stale fence and corrects its charge.
    held = resolved.charge.cost
    detail = {**resolved.charge.detail, "booked": held}
    if resolved.cost > held:
        detail["overage"] = resolved.cost - held
    return Settlement(
        item_id=item_id,
        fence=Fence(fence),
        held=NOTHING,
        balances=(),
        outcome="reconciled",
        cost=NanoUSD(resolved.cost),
        price_source=f"export:{source}",
        usage=asdict(
            Usage(input_tokens=resolved.input_tokens, output_tokens=resolved.output_tokens)
        ),
        simulated=resolved.charge.simulated,
        detail=detail,
        next_state=State.DEAD,
    )


def _of(deployment: str, first: date, last: date) -> tuple[Any, ...]:
    begin, end = ((day - _EPOCH).days * DAY_US for day in (first, last + timedelta(days=1)))
    at = attempts.c.started_at
    return (
        attempts.c.deployment == deployment,
        at >= begin,
        at < end,
        attempts.c.ended_at.is_not(None),
    )
