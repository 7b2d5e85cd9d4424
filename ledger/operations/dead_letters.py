"""Dead letters: what ended without an answer, and the two ways out: replay and discard."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Self

from sqlalchemy import ColumnElement, Select, case, select, update

from tierqueue.ledger import audit_log
from tierqueue.ledger.bulk import among, update_many
from tierqueue.ledger.lifecycle import documents
from tierqueue.ledger.lifecycle import items as work
from tierqueue.ledger.lifecycle.items import Death
from tierqueue.ledger.operations import erasure
from tierqueue.ledger.paging import Place, page
from tierqueue.ledger.records import Attempt
from tierqueue.ledger.results import chords, promises, sinks
from tierqueue.ledger.results.promises import Ends
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import items
from tierqueue.ledger.whole_item import WholeItem
from tierqueue.router.errors import InvalidItem, Undecodable
from tierqueue.router.item import TIERS, Tier
from tierqueue.router.lifecycle import State
from tierqueue.router.money import NanoUSD

NO_WAY_BACK = (InvalidItem.reason, Undecodable.reason)
"""Reasons of dead letters that hold no call: it has to be made again, corrected."""


class DeadLetter(NamedTuple):
    """An item that ended without an answer, as it is listed."""

    id: str
    """The item's."""
    task: str
    """The name of its task type."""
    reason: str
    """Why it is dead, as a code."""
    tier: str | None
    """Where it was routed to last."""
    deployment: str | None
    """Which of the tier's deployments."""
    budget: str | None
    """Who paid."""
    job_id: str | None
    """The file that it came in."""
    job_index: int | None
    """Which row of its job, from 0."""
    error: Mapping[str, Any] | None
    """What ended it: ``reason``, ``message``, ``fields``."""
    spent: NanoUSD
    """Nano-dollars, over all its attempts."""
    calls: int
    """Calls made that count towards the retry budget."""
    submitted_at: int
    """Epoch microseconds."""
    ended_at: int
    """Epoch microseconds."""
    erased_at: int | None
    """Epoch microseconds: when its payloads went."""

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Self:
        """The dead letter of a row of its columns, in its order."""
        return cls._make(row)

    @property
    def message(self) -> str | None:
        """Why it is dead, in words."""
        return (self.error or {}).get("message")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterQuery:
    """Which dead letters are meant; ``None`` is any.

    ``since``: ended then or later, ``before``: ended earlier (epoch µs).
    """

    reason: str | None = None
    task: str | None = None
    tier: str | None = None
    deployment: str | None = None
    budget: str | None = None
    job: str | None = None
    since: int | None = None
    before: int | None = None


def listed(
    connection: Transaction, wanted: DeadLetterQuery, limit: int, before: Place | None = None
) -> list[DeadLetter]:
    """A page of dead letters, the newest first; the next page begins ``before`` its last row."""
    found = _matching(select(*(items.c[name] for name in DeadLetter._fields)), wanted)
    ordered = page(found, items.c.ended_at, items.c.id, limit, before)
    return [DeadLetter.from_row(row) for row in connection.execute(ordered)]


def show(connection: Transaction, item_id: str) -> tuple[WholeItem, list[Attempt]] | None:
    """One item, whatever its state, and its attempts; ``None`` if there is no such item."""
    if (item := work.get(connection, item_id)) is None:
        return None
    return item, work.history(connection, item_id)


def replay(
    connection: Transaction,
    item_ids: Sequence[str],
    by: str,
    *,
    floor: Tier | None = None,
    max_cost: int | None = None,
    chosen_by: DeadLetterQuery | None = None,
) -> list[str]:
    """Move dead letters back to ``submitted``; returns which were dead and are not now.

    The fence, what was spent and the attempts stay, so that no charge is forgotten; the retry,
    poison and escalation counts begin anew, and a deadline that has passed is cleared, to be
    resolved again when it is routed. Its promises are owed anew, except for errbacks that were
    sent, and a chord that failed of it waits for it again. What was never a work item
    (``NO_WAY_BACK``) stays dead, and what was erased: there is nothing to run; so does a
    document whose answer needs a part that was erased. ``floor`` raises
    the items' floor, an own higher one stays; ``max_cost`` (nano-dollars, over all the item has
    spent and will spend) takes the place of theirs, and is divided among the parts of a document;
    raises ``InvalidItem`` where that cannot be done. ``chosen_by``: the filters that chose them,
    for the record, which also keeps how each one had ended. A document in pieces waits again, and
    its parts are replayed with it; what is returned names them too.
    """
    at = database_now(connection)
    gone = beyond_replay(connection, item_ids)
    item_ids = documents.replayed_with(connection, [key for key in item_ids if key not in gone])
    dead, deaths = _locked(connection, item_ids, but_not=NO_WAY_BACK, whole=True)
    connection.execute(
        update(items)
        .where(among(items.c.id))
        .values(
            state=State.SUBMITTED.value,
            reason=None,
            error=None,
            output=None,
            receipt=None,
            ended_at=None,
            hooked_at=None,
            lane=None,
            ready_at=at,
            calls=0,
            lost_claims=0,
            throttles=0,
            refused_by=None,
            too_small=None,
            tier=None,
            deployment=None,
            route=None,
            bound=None,
            token_bound=None,
            degraded=None,
            cancel_requested=False,
            announced_at=None,
            floor=items.c.floor if floor is None else _raised(floor),
            max_cost=items.c.max_cost if max_cost is None else max_cost,
            deadline=case((items.c.deadline < at, None), else_=items.c.deadline),
        ),
        {"ids": dead},
    )
    documents.wait_again(connection, dead, at)
    shares = {} if max_cost is None else documents.shares(connection, dead, max_cost)
    costs = [{"id": item_id, "max_cost": share} for item_id, share in shares.items()]
    update_many(connection, items, ("id",), costs)
    _restate(connection, dead, floor, max_cost, shares)
    owed = promises.owe_anew(connection, dead)
    if groups := [promise.group_id for promise in owed if promise.group_id and promise.chord]:
        chords.reopen(connection, groups)
    sinks.reopen(connection, dead)
    changed = {"floor": floor, "max_cost": max_cost}
    stated = {name: value for name, value in changed.items() if value is not None}
    _note(connection, by, "replay", deaths, stated, chosen_by)
    return dead


def beyond_replay(connection: Transaction, item_ids: Sequence[str]) -> set[str]:
    """Those of these dead letters that are documents, or parts of one, whose answer needs a part
    that was erased: a replay leaves them as they are.
    """
    asked = select(items.c.id, items.c.part_of, items.c.split)
    of_documents = asked.where(among(items.c.id), items.c.split.is_not(None))
    rows = connection.execute(of_documents, {"ids": list(item_ids)}).all()
    whose = {row.id: row.part_of or row.id for row in rows}
    gone = erasure.need_what_is_gone(connection, set(whose.values()))
    return {item_id for item_id, document in whose.items() if document in gone}


def discard(
    connection: Transaction,
    item_ids: Sequence[str],
    by: str,
    *,
    chosen_by: DeadLetterQuery | None = None,
) -> Ends:
    """Cancel dead letters for good; those that are dead no more are left as they are."""
    dead, former = _locked(connection, item_ids)
    deaths = [
        Death(item_id, "cancelled", f"item {item_id} was discarded by {by}", {"item": item_id})
        for item_id in dead
    ]
    _note(connection, by, "discard", former, {}, chosen_by)
    sinks.reopen(connection, dead)
    return work.end(connection, deaths, State.CANCELLED, database_now(connection))


def _restate(
    connection: Transaction,
    dead: Sequence[str],
    floor: Tier | None,
    max_cost: int | None,
    shares: Mapping[str, int],
) -> None:
    """Change what the items state themselves, which is what they are routed by."""
    if floor is None and max_cost is None:
        return
    found = select(items.c.id, items.c.stated).where(among(items.c.id), items.c.stated.is_not(None))
    restated: list[dict[str, Any]] = []
    for row in connection.execute(found, {"ids": dead}):
        stated = dict(row.stated)
        if floor is not None:
            own = Tier(stated.get("floor") or floor)
            stated["floor"] = max(own, floor, key=TIERS.index).value
        if max_cost is not None:
            stated["max_cost"] = shares.get(row.id, max_cost)
        restated.append({"id": row.id, "stated": stated})
    update_many(connection, items, ("id",), restated)


def _raised(floor: Tier) -> ColumnElement[str]:
    higher = [tier.value for tier in TIERS[TIERS.index(floor) :]]
    return case((items.c.floor.in_(higher), items.c.floor), else_=floor.value)


def _matching(found: Select, wanted: DeadLetterQuery) -> Select:  # type: ignore[type-arg]
    found = found.where(items.c.state == State.DEAD.value)
    stated = {
        items.c.reason: wanted.reason,
        items.c.task: wanted.task,
        items.c.tier: wanted.tier,
        items.c.deployment: wanted.deployment,
        items.c.budget: wanted.budget,
        items.c.job_id: wanted.job,
    }
    found = found.where(*(column == value for column, value in stated.items() if value is not None))
    if wanted.since is not None:
        found = found.where(items.c.ended_at >= wanted.since)
    return found if wanted.before is None else found.where(items.c.ended_at < wanted.before)


def _locked(
    connection: Transaction,
    item_ids: Sequence[str],
    but_not: Sequence[str] = (),
    *,
    whole: bool = False,
) -> tuple[list[str], list[dict[str, Any]]]:
    """The dead letters of these ids, and how each one ended, for the record."""
    found = (
        select(items.c.id, items.c.reason, items.c.ended_at)
        .where(among(items.c.id), items.c.state == State.DEAD.value, items.c.reason.not_in(but_not))
        .order_by(items.c.id)
        .with_for_update()
    )
    if whole:
        found = found.where(items.c.erased_at.is_(None))
    rows = connection.execute(found, {"ids": sorted(set(item_ids))}).all()
    deaths = [{"item": row.id, "reason": row.reason, "ended_at": row.ended_at} for row in rows]
    return [row.id for row in rows], deaths


def _note(
    connection: Transaction,
    by: str,
    what: str,
    deaths: Sequence[Mapping[str, Any]],
    changed: Mapping[str, Any],
    chosen_by: DeadLetterQuery | None,
) -> None:
    """Write down what is done; a death's message is left out, for it may quote an answer."""
    if not deaths:
        return
    detail: dict[str, Any] = {"items": [death["item"] for death in deaths], **changed}
    if chosen_by is not None:
        stated = asdict(chosen_by).items()
        detail["filters"] = {name: value for name, value in stated if value is not None}
    audit_log.note(connection, by=by, what=what, detail={**detail, "deaths": list(deaths)})
