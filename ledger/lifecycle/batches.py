"""Batches: items that wait for one, are handed over in it, and come back line by line.

Whoever looks after a batch holds its lease; every note is refused to anybody else, so that no two
processes ask a provider for the same batch.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, Self

from sqlalchemy import and_, bindparam, func, insert, or_, select, update

from tierqueue.ledger.bulk import among
from tierqueue.ledger.in_force import pauses, prompts
from tierqueue.ledger.in_force.pauses import Pause
from tierqueue.ledger.in_force.policies import OUTDATED
from tierqueue.ledger.lifecycle.claims import Claim
from tierqueue.ledger.lifecycle.leases import LapsedLease
from tierqueue.ledger.lifecycle.settlements import BOOKED
from tierqueue.ledger.literals import equals, is_in
from tierqueue.ledger.records import ATTEMPT, ITEM, Attempt, Fence, Item
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import attempts, batches, items
from tierqueue.router.lifecycle import State, Wait
from tierqueue.router.money import NanoUSD
from tierqueue.router.policy.lanes import GIVEN_UP_US


class Batch(NamedTuple):
    """One batch; times in epoch microseconds."""

    id: str
    """Ours; the provider keeps it among the batch's metadata."""
    deployment: str
    """For which it was formed."""
    state: str
    """``collected``, ``sent`` or ``over``."""
    size: int
    """How many items it holds."""
    tokens: int
    """The most that its calls take."""
    held: NanoUSD
    """Nano-dollars held for it when it was formed."""
    deadline: int
    """The first of its items'."""
    formed_at: int
    """When."""
    poll_at: int
    """When the next step of it is due."""
    worker: str | None
    """Who looks after it."""
    lease_until: int
    """Until when nobody else does."""
    input_file: str | None
    """The provider's id of its input file."""
    creating_at: int | None
    """When the provider was first asked for it: from then on it may exist there."""
    remote: str | None
    """The provider's id of it."""
    remote_state: str | None
    """The provider's word for its state."""
    cancelled_at: int | None
    """When the provider was asked to cancel it."""
    over_at: int | None
    """When the provider was first found to be done with it, where its files lacked something."""
    ended_at: int | None
    """When its last line was settled."""
    counts: Mapping[str, int] | None
    """How many requests ended as what."""
    error: str | None
    """Why the provider refused it as a whole."""

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Self:
        """The batch of a row of ``BATCH``."""
        return cls._make(row)


BATCH = tuple(batches.c[name] for name in Batch._fields)
"""The columns of a ``Batch``, in its order."""

_COLLECTED = and_(is_in(State.WAITING), equals(items.c.reason, Wait.BATCH))


class LostBatch(Exception):
    """Another process looks after the batch now."""


class BatchBacklog(NamedTuple):
    """What waits for a batch of a deployment: how many (at most as many as asked for), and when
    the first of them was submitted (epoch µs).
    """

    items: int
    oldest: int | None


def collected(
    connection: Transaction, deployment: str, most: int, paused: Sequence[Pause]
) -> BatchBacklog:
    """What could be handed over now."""
    first = (
        select(items.c.submitted_at)
        .where(_COLLECTED, items.c.deployment == deployment, *pauses.free(paused))
        .limit(most)
        .subquery()
    )
    found = select(func.count(), func.min(first.c.submitted_at)).select_from(first)
    return BatchBacklog._make(connection.execute(found).one())


def candidates(
    connection: Transaction, deployment: str, most: int, paused: Sequence[Pause]
) -> dict[str, Fence]:
    """The items to hand over next, the most urgent first: id -> fence. Locks nothing."""
    found = (
        select(items.c.id, items.c.fence)
        .where(_COLLECTED, items.c.deployment == deployment, *pauses.free(paused))
        .order_by(items.c.priority.desc(), items.c.id)
        .limit(most)
    )
    return {row.id: row.fence for row in connection.execute(found)}


def route_anew(connection: Transaction) -> None:
    """Whatever is collected under another policy than the one in force is routed again."""
    found = select(items.c.id).where(_COLLECTED, OUTDATED).with_for_update(skip_locked=True)
    back = {"state": State.SUBMITTED.value, "reason": None}
    connection.execute(update(items).where(items.c.id.in_(found)).values(**back))


def go_live(connection: Transaction, item_ids: Collection[str]) -> None:
    """These items go in no batch any more; those that are still collected are routed again."""
    if not item_ids:
        return
    given = {"ids": sorted(item_ids)}
    connection.execute(update(items).where(among(items.c.id)).values(lane="live"), given)
    back = update(items).where(among(items.c.id), _COLLECTED)
    connection.execute(back.values(state=State.SUBMITTED.value, reason=None), given)


def form(
    connection: Transaction,
    batch_id: str,
    deployment: str,
    claimed: Sequence[Claim],
    worker: str,
    now: int,
    lease_us: int,
) -> None:
    """Write down the batch that these items were handed over in, in the same transaction."""
    row = {
        "id": batch_id,
        "deployment": deployment,
        "state": "collected",
        "size": len(claimed),
        "tokens": sum(claim.item.token_bound or 0 for claim in claimed),
        "held": sum(claim.held for claim in claimed),
        "deadline": min(claim.item.deadline or now for claim in claimed),
        "formed_at": now,
        "poll_at": now,
        "worker": worker,
        "lease_until": now + lease_us,
    }
    connection.execute(insert(batches).values(**row))


def due(
    connection: Transaction, deployments: Collection[str], worker: str, now: int, lease_us: int
) -> Batch | None:
    """The next batch to look after ``now``, leased to ``worker`` for ``lease_us``."""
    row = connection.execute(
        select(*BATCH)
        .where(
            batches.c.ended_at.is_(None),
            batches.c.poll_at <= now,
            batches.c.deployment.in_(sorted(deployments)),
            or_(batches.c.worker == worker, batches.c.lease_until < now),
        )
        .order_by(batches.c.poll_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).one_or_none()
    if row is None:
        return None
    mine = Batch.from_row(row)._replace(worker=worker, lease_until=now + lease_us)
    leased = update(batches).where(batches.c.id == mine.id)
    connection.execute(leased.values(worker=worker, lease_until=mine.lease_until))
    return mine


def note(connection: Transaction, batch: Batch, **changed: Any) -> Batch:
    """Write down what became of a batch, and return it so. Raises ``LostBatch``."""
    mine = (batches.c.id == batch.id, batches.c.worker == batch.worker)
    if not connection.execute(update(batches).where(*mine).values(**changed)).rowcount:
        raise LostBatch(batch.id)
    return batch._replace(**changed)


def enqueued_tokens(connection: Transaction, deployment: str) -> int:
    """The most tokens of all batches of a deployment that are not over."""
    found = select(func.coalesce(func.sum(batches.c.tokens), 0)).where(
        batches.c.deployment == deployment, batches.c.ended_at.is_(None)
    )
    return int(connection.execute(found).scalar_one())


def claims_of(
    connection: Transaction, batch_id: str, *, counted: bool, open_only: bool = False
) -> list[Claim]:
    """The claims of a batch that its lines can still settle or correct, by item id.

    ``counted``: whether ceilings count what its calls cost. ``open_only``: without those that were
    booked and can be corrected.
    """
    open_ = attempts.c.ended_at.is_(None)
    again = open_ if open_only else or_(open_, attempts.c.outcome.in_(BOOKED))
    rows = connection.execute(
        select(*ITEM, items.c.arguments, *_CLAIM, prompts.SYSTEM)
        .join(attempts, attempts.c.item_id == items.c.id)
        .where(attempts.c.batch == batch_id, again)
        .order_by(items.c.id)
    )
    width = len(ITEM)
    return [
        Claim(
            # As it stood before: what it holds by now is its last claim's, which may be another.
            item=Item.from_row(row[:width]),
            arguments=row[width] or {},
            fence=row[width + 1],
            held=row[width + 2],
            counted=counted,
            balances=tuple(row[width + 3]),
            started_at=row[width + 4],
            system=row.system,
        )
        for row in rows
    ]


_CLAIM = tuple(attempts.c[name] for name in ("fence", "held", "balances", "started_at"))


def keys_of(connection: Transaction, batch_id: str) -> set[tuple[str, int]]:
    """Every claim of a batch: item and fence."""
    found = select(attempts.c.item_id, attempts.c.fence).where(attempts.c.batch == batch_id)
    return {(row.item_id, row.fence) for row in connection.execute(found)}


def remotes(connection: Transaction, since: int) -> set[str]:
    """The providers' ids of batches that were not over ``since`` (epoch µs)."""
    found = select(batches.c.remote).where(
        batches.c.remote.is_not(None),
        or_(batches.c.ended_at.is_(None), batches.c.ended_at > since),
    )
    return set(connection.execute(found).scalars())


def all_cancelled(connection: Transaction, batch_id: str) -> bool:
    """Whether somebody has cancelled every item that a batch still holds."""
    wanted = (
        select(items.c.id)
        .join(attempts, attempts.c.item_id == items.c.id)
        .where(attempts.c.batch == batch_id, attempts.c.ended_at.is_(None))
        .where(items.c.cancel_requested.is_(False))
        .limit(1)
    )
    return connection.execute(wanted).first() is None


_OVERDUE = (
    select(*ITEM)
    .where(is_in(State.HANDED_OVER), items.c.deadline < bindparam("before"))
    .order_by(items.c.deadline)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)


def overdue(connection: Transaction, now: int, most: int) -> list[LapsedLease]:
    """Items in batches whose deadline is too close to wait any longer, locked."""
    rows = connection.execute(_OVERDUE, {"before": now + GIVEN_UP_US, "most": most}).all()
    if not rows:
        return []
    late = {row.id: Item.from_row(row) for row in rows}
    made = connection.execute(
        select(*ATTEMPT).where(among(attempts.c.item_id), attempts.c.ended_at.is_(None)),
        {"ids": sorted(late)},
    )
    return [LapsedLease(late[attempt.item_id], attempt) for attempt in map(Attempt.from_row, made)]
