"""Observations: what each deployment's replies have been like lately, over all processes.

Two things are kept: which model answers when one is asked for (``MODEL``), and which parameters of
a request its server refuses (``WITHOUT``). What was not seen for a week is of no account.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select, update

from tierqueue.ledger.bulk import upsert
from tierqueue.ledger.tables import observations
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.duration import DAY_US

MODEL = "model"
WITHOUT = "without"

MOST = 50
"""Models that are written down of one that is asked for: whoever names each answer's differently
tells nothing with it."""

WEEK_US = 7 * DAY_US
"""Microseconds for which something that was seen holds."""


@dataclass(frozen=True, slots=True, order=True)
class Observation:
    """Something about the replies of ``deployment`` to what is asked of the model ``asked``."""

    deployment: str
    asked: str
    what: str
    value: str


@dataclass(frozen=True, slots=True)
class ModelChange:
    """Another model than before answers for ``deployment``, ``since`` (epoch microseconds)."""

    deployment: str
    asked: str
    before: str
    served: str
    since: int


def see(connection: Connection, seen: Iterable[Observation], at: int) -> list[ModelChange]:
    """Write down what was seen ``at`` (epoch microseconds).

    Returns the models that answer where another did within the week before: each once, to whoever
    wrote it down first.
    """
    changed: list[ModelChange] = []
    for one in sorted(seen):
        if one.what == MODEL and _too_many(connection, one):
            continue
        before = _last_other(connection, one, at) if one.what == MODEL else None
        if _is_new(connection, one, at) and before is not None:
            changed.append(ModelChange(one.deployment, one.asked, before, one.value, at))
    return changed


def changes(connection: Connection, at: int) -> list[ModelChange]:
    """The models that have answered for less than a week where another did in the week before."""
    rows = connection.execute(
        select(observations).where(observations.c.what == MODEL).order_by(observations.c.since)
    ).all()
    found: list[ModelChange] = []
    for row in rows:
        others = [
            other
            for other in rows
            if (other.deployment, other.asked) == (row.deployment, row.asked)
            and other.since < row.since
            and other.seen_at > row.since - WEEK_US
        ]
        if others and at - row.since < WEEK_US:
            last = max(others, key=lambda other: int(other.seen_at))
            found.append(ModelChange(row.deployment, row.asked, last.value, row.value, row.since))
    return found


_SILENT = select(observations.c.deployment, observations.c.asked).where(
    observations.c.what == WITHOUT,
    observations.c.value == "logprobs",
    observations.c.seen_at > bindparam("since"),
)


def silent(
    connection: Connection, deployments: Mapping[str, Deployment], at: int
) -> frozenset[str]:
    """Those of ``deployments`` whose servers refused log-probabilities within the last week."""
    rows = connection.execute(_SILENT, {"since": at - WEEK_US})
    asked = {row.deployment: row.asked for row in rows}
    return frozenset(
        name
        for name, deployment in deployments.items()
        if deployment.top_logprobs and asked.get(name) == deployment.model
    )


def _too_many(connection: Connection, one: Observation) -> bool:
    """Whether it would be one more than ``MOST``."""
    same = (
        observations.c.deployment == one.deployment,
        observations.c.asked == one.asked,
        observations.c.what == one.what,
    )
    values = set(connection.execute(select(observations.c.value).where(*same)).scalars())
    return one.value not in values and len(values) >= MOST


def _last_other(connection: Connection, one: Observation, at: int) -> str | None:
    """The other model that answered last, within the week."""
    found = select(observations.c.value).where(
        observations.c.deployment == one.deployment,
        observations.c.asked == one.asked,
        observations.c.what == one.what,
        observations.c.value != one.value,
        observations.c.seen_at > at - WEEK_US,
    )
    last: str | None = connection.execute(
        found.order_by(observations.c.seen_at.desc()).limit(1)
    ).scalar()
    return last


def _is_new(connection: Connection, one: Observation, at: int) -> bool:
    """Write down that it was seen; whether nobody had seen it within the week."""
    row = {
        "deployment": one.deployment,
        "asked": one.asked,
        "what": one.what,
        "value": one.value,
    }
    new = upsert(connection, observations).values(**row, since=at, seen_at=at)
    if connection.execute(new.on_conflict_do_nothing()).rowcount == 1:
        return True
    known = [observations.c[name] == value for name, value in row.items()]
    forgotten = update(observations).where(*known, observations.c.seen_at <= at - WEEK_US)
    if connection.execute(forgotten.values(since=at, seen_at=at)).rowcount == 1:
        return True
    connection.execute(
        update(observations).where(*known, observations.c.seen_at < at).values(seen_at=at)
    )
    return False
