"""Suspects: items that may lose one claim more, kept apart so that only the killer is condemned.

Whatever runs in a process beside an item that kills it loses its claim too, and looks the same in
the books. So an item whose next lost claim would be its last runs while no other such item of its
tier does: the one that is lost alone thus often is the poison, and its neighbours are not.
"""

from collections.abc import Collection, Sequence

from sqlalchemy import bindparam, func, literal_column, or_, select, update

from tierqueue.ledger.bulk import among
from tierqueue.ledger.in_force import pauses, policies
from tierqueue.ledger.in_force.pauses import Pause
from tierqueue.ledger.in_force.policies import OUTDATED
from tierqueue.ledger.literals import is_in
from tierqueue.ledger.records import READY, ReadyItem
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import items
from tierqueue.router.lifecycle import State

_ONE_AT_A_TIME = 7_316_395
"""Of all routing stages on one PostgreSQL database one at a time picks suspects, by this lock."""

_UNENDED = (State.ROUTED.value, State.QUEUED.value, State.RUNNING.value)

# In the words of the partial index, which holds next to nothing.
_SUSPECTS = (
    select(*READY, items.c.state, OUTDATED.label("outdated"))
    .where(
        items.c.lost_claims > literal_column("0"),
        items.c.ended_at.is_(None),
        items.c.lost_claims >= bindparam("last"),
        items.c.state.in_(_UNENDED),
    )
    .order_by(items.c.due, items.c.id)
)
_QUEUE = (
    update(items)
    .where(among(items.c.id), items.c.state == State.ROUTED.value)
    .values(state=State.QUEUED.value, ready_at=bindparam("again_at"))
    .returning(items.c.id)
)


def last_chance(poison: int) -> int:
    """The lost claims that make a suspect where ``poison`` of them are the end."""
    return max(1, poison - 1)


def queue(
    connection: Transaction,
    tiers: Collection[str],
    last: int,
    again_at: int,
    paused: Sequence[Pause] = (),
    held: Sequence[str] = (),
) -> tuple[list[ReadyItem], bool]:
    """Queue the next suspect of each of ``tiers`` that has none queued or running.

    Returns them, each to be sent in a slice of its own, and whether any suspect
    waits for its turn or was sent. ``again_at``: epoch microseconds, as for ``routes.queue``.
    """
    found = _SUSPECTS.where(*pauses.free(paused)) if paused else _SUSPECTS
    if held:
        # Whoever runs still counts; nobody is sent to a deployment that is held back.
        sent = ~is_in(State.ROUTED)
        found = found.where(or_(sent, items.c.deployment.not_in(held)))
    rows = connection.execute(found, {"last": last}).all()
    if not any(row.state == State.ROUTED for row in rows):
        return [], False
    if connection.dialect.name == "postgresql":
        lock = select(func.pg_try_advisory_xact_lock(_ONE_AT_A_TIME))
        if not connection.execute(lock).scalar_one():
            return [], True
        # What another routing stage has sent since is to be seen.
        rows = connection.execute(found, {"last": last}).all()
    policies.route_anew(
        connection, _still_routed(connection, [row.id for row in rows if row.outdated])
    )
    rows = [row for row in rows if not row.outdated or row.state != State.ROUTED]
    taken = {row.tier for row in rows if row.state != State.ROUTED}
    next_of = {
        row.tier: row
        for row in reversed(rows)
        if row.state == State.ROUTED and row.tier in tiers and row.tier not in taken
    }
    given = {"ids": [row.id for row in next_of.values()], "again_at": again_at}
    queued = set(connection.execute(_QUEUE, given).scalars()) if next_of else set()
    return [ReadyItem.from_row(row) for row in next_of.values() if row.id in queued], True


def _still_routed(connection: Transaction, item_ids: Sequence[str]) -> Sequence[str]:
    """Which of these items are routed and nothing more; locks them."""
    found = select(items.c.id).where(among(items.c.id), items.c.state == State.ROUTED.value)
    return list(
        connection.execute(found.with_for_update(skip_locked=True), {"ids": item_ids}).scalars()
    )
