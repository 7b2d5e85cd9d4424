"""The policy in force over all processes: what was applied last, and where nothing ever was, the
file of the routing stage which started last.

What was routed under another one and has not been called is routed anew before it may be.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple, Self

from sqlalchemy import (
    Connection,
    bindparam,
    func,
    select,
    tuple_,
    update,
)

from tierqueue.ledger.bulk import among, upsert
from tierqueue.ledger.literals import is_in, number
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import items, policies, policy_versions
from tierqueue.router.lifecycle import State

_ONE = number(1)
_LAST = select(policies.c.digest).order_by(policies.c.started_at.desc()).limit(_ONE)

IN_FORCE = _LAST.scalar_subquery()
"""The digest of the policy in force; null where no routing stage has ever started."""

OUTDATED = items.c.policy.is_distinct_from(func.coalesce(IN_FORCE, items.c.policy))
"""Whether an item was routed under another policy than the one in force."""

_ROUTE_ANEW = update(items).where(among(items.c.id)).values(state=State.SUBMITTED.value)

Cursor = tuple[str, int, str]
"""Flow, due time and id of the item looked at last."""

_FIRST: Cursor = ("", -1, "")


class AppliedPolicy(NamedTuple):
    """A policy that somebody applied."""

    id: int
    """The version's number, one higher for each."""
    digest: str
    """Names its text."""
    text: str
    """The TOML, as it was applied."""
    at: int
    """Epoch microseconds."""
    by: str
    """Who."""
    reason: str | None
    """Why, in their words."""

    @classmethod
    def from_row(cls, row: Sequence[object]) -> Self:
        """The version of a row of ``APPLIED``."""
        return cls._make(row)


APPLIED = tuple(policy_versions.c[name] for name in AppliedPolicy._fields)
"""The columns of an ``AppliedPolicy``, in its order."""

_NEWEST = select(*APPLIED).order_by(policy_versions.c.id.desc()).limit(_ONE)
_EARLIER = policy_versions.alias()
_SINCE = (
    select(*APPLIED)
    .where(
        policy_versions.c.id
        >= func.coalesce(
            select(func.max(_EARLIER.c.id))
            .where(_EARLIER.c.at <= bindparam("since"))
            .scalar_subquery(),
            0,
        )
    )
    .order_by(policy_versions.c.id)
)
_NEWEST_DIGEST = select(policy_versions.c.digest).order_by(policy_versions.c.id.desc()).limit(_ONE)


def start(connection: Transaction, digest: str, now: int) -> None:
    """Put this policy in force from now on (epoch microseconds)."""
    row = {"digest": digest, "started_at": now}
    again = upsert(connection, policies).on_conflict_do_update(
        index_elements=["digest"], set_={"started_at": now}
    )
    connection.execute(again, row)


def in_force(connection: Connection) -> str | None:
    """The digest of the policy in force."""
    return connection.execute(_LAST).scalar()


def applied(connection: Connection) -> AppliedPolicy | None:
    """What was applied last; ``None``: nothing ever was, and files count."""
    row = connection.execute(_NEWEST).one_or_none()
    return None if row is None else AppliedPolicy.from_row(row)


def applied_since(connection: Connection, since: int) -> list[AppliedPolicy]:
    """What was in force by being applied at any time since then (epoch µs), the newest last."""
    return [AppliedPolicy.from_row(row) for row in connection.execute(_SINCE, {"since": since})]


def applied_digest(connection: Connection) -> str | None:
    """The digest of what was applied last, without its text."""
    return connection.execute(_NEWEST_DIGEST).scalar()


def route_anew(connection: Transaction, item_ids: Collection[str]) -> None:
    """Put locked items that nobody calls back to where they are routed."""
    if item_ids:
        connection.execute(_ROUTE_ANEW, {"ids": sorted(item_ids)})


def route_tier_anew(
    connection: Transaction, state: State, tier: str, after: Cursor | None, most: int
) -> Cursor | None:
    """Put up to ``most`` outdated items of a tier in ``state`` back; goes on behind ``after``.

    Returns from where the next call goes on, and ``None`` once all have been looked at. Each is
    found as well when its turn comes; a tier that is paused, full or gone has no turns.
    """
    place = (items.c.flow, items.c.due, items.c.id)
    rows = connection.execute(
        select(*place)
        .where(
            is_in(state),
            items.c.tier == tier,
            tuple_(*place) > tuple_(*(after or _FIRST)),
            OUTDATED,
        )
        .order_by(*place)
        .limit(most)
        .with_for_update(skip_locked=True)
    ).all()
    route_anew(connection, [row.id for row in rows])
    return (rows[-1].flow, rows[-1].due, rows[-1].id) if len(rows) == most else None
