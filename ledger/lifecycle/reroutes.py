"""Items of a deployment that cannot serve: sent back to be routed anew, or put on trial."""

from collections.abc import Collection, Sequence
from typing import get_args

from sqlalchemy import and_, not_, or_, select, update

from tierqueue.ledger.bulk import among
from tierqueue.ledger.in_force import pauses
from tierqueue.ledger.in_force.pauses import Pause
from tierqueue.ledger.in_force.policies import OUTDATED
from tierqueue.ledger.literals import is_in
from tierqueue.ledger.records import READY, ReadyItem
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import items
from tierqueue.router.item import Tier
from tierqueue.router.lifecycle import State
from tierqueue.router.outcome import Trouble

WAITS = get_args(Trouble)
"""Reasons of items that wait for their deployment, where another may take over."""


def send_back(
    connection: Transaction, tier: Tier, deployment: str, most: int, *, fallbacks_only: bool
) -> int:
    """Routed and waiting items of a deployment become ``submitted``; returns how many.

    Those are left that were routed since it became unavailable, and wait because nobody can take
    over. ``fallbacks_only``: only those that somebody allowed to fall back on an outage.
    """
    routed = and_(is_in(State.ROUTED), items.c.tier == tier.value, items.c.reason.is_(None))
    waits = and_(is_in(State.WAITING), items.c.reason.in_(WAITS))
    found = select(items.c.id).where(or_(routed, waits), items.c.deployment == deployment)
    if fallbacks_only:
        allowed = items.c.fallback["on_outage"].as_string().is_not(None)
        found = found.where(items.c.fallback.is_not(None), allowed, items.c.degraded.is_(None))
    ids = sorted(connection.execute(found.limit(most).with_for_update(skip_locked=True)).scalars())
    if ids:
        back = update(items).where(among(items.c.id)).values(state=State.SUBMITTED.value)
        connection.execute(back, {"ids": ids})
    return len(ids)


def reconsider(connection: Transaction, deployments: Collection[str]) -> None:
    """Whoever waits for these deployments may be routed anew: another one serves again."""
    where = (is_in(State.ROUTED), items.c.deployment.in_(sorted(deployments)))
    found = select(items.c.id).where(*where, items.c.reason.in_(WAITS))
    ids = sorted(connection.execute(found.with_for_update(skip_locked=True)).scalars())
    if ids:
        forget = update(items).where(among(items.c.id)).values(reason=None)
        connection.execute(forget, {"ids": ids})


def borrow(
    connection: Transaction,
    tier: Tier,
    deployments: Collection[str],
    after: str,
    most: int,
    paused: Sequence[Pause] = (),
) -> str:
    """Routed items of these deployments become ``submitted``, the next ``most`` by id.

    ``after``: where the last call stopped; returns where this one did, or "" at the end.
    """
    ids = list(
        connection.execute(
            select(items.c.id)
            .where(is_in(State.ROUTED), items.c.tier == tier.value, items.c.id > after)
            .where(items.c.deployment.in_(sorted(deployments)), *pauses.free(paused))
            .order_by(items.c.id)
            .limit(most)
            .with_for_update(skip_locked=True)
        ).scalars()
    )
    if ids:
        back = update(items).where(among(items.c.id)).values(state=State.SUBMITTED.value)
        connection.execute(back, {"ids": ids})
    return ids[-1] if len(ids) == most else ""


def queue_for_trial(
    connection: Transaction,
    tier: Tier,
    deployment: str,
    again_at: int,
    paused: Sequence[Pause] = (),
) -> ReadyItem | None:
    """Queue one routed item of the deployment, another each time: who was turned away least.

    ``again_at``: epoch microseconds, as for ``routes.queue``.
    """
    free = pauses.free(paused) if paused else []
    row = connection.execute(
        select(*READY)
        .where(is_in(State.ROUTED), items.c.tier == tier.value, items.c.deployment == deployment)
        .where(not_(OUTDATED), *free)
        .order_by(items.c.lost_claims, items.c.throttles, items.c.due, items.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).one_or_none()
    if row is None:
        return None
    queued = {"state": State.QUEUED.value, "ready_at": again_at, "reason": None}
    connection.execute(update(items).where(items.c.id == row.id).values(**queued))
    return ReadyItem.from_row(row)
