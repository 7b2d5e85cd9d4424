"""Claims: one transaction a slice takes its items, raises their fences and holds money."""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from sqlalchemy import Connection, bindparam, select, update

from tierqueue.ledger.bulk import among, insert_many
from tierqueue.ledger.ceilings import books
from tierqueue.ledger.ceilings.books import Hold, Need, Scope, Shortfall
from tierqueue.ledger.in_force import call_seconds, conditions, policies, prompts
from tierqueue.ledger.in_force.policies import OUTDATED
from tierqueue.ledger.lifecycle import second_items
from tierqueue.ledger.lifecycle.deaths import ceiling_exceeded, expired
from tierqueue.ledger.lifecycle.items import Death, die, fall_back, fallen
from tierqueue.ledger.records import ITEM, Fence, Item
from tierqueue.ledger.results.promises import Ends
from tierqueue.ledger.tables import attempts, items
from tierqueue.router.condition import Condition
from tierqueue.router.lifecycle import State, Wait
from tierqueue.router.money import NanoUSD


class KnownItem(NamedTuple):
    """An item of a slice and what it was called with, read before its claim."""

    item: Item
    arguments: Mapping[str, Any]
    system: str | None = None


class _QueuedItem(NamedTuple):
    """What may have changed of an item since it was read, under its lock."""

    id: str
    fence: Fence
    state: str
    deployment: str
    deadline: int
    max_cost: NanoUSD | None
    spent: NanoUSD
    attributed: NanoUSD
    bound: NanoUSD
    budget: str
    job_id: str | None
    purpose: str | None
    fallback: Mapping[str, str] | None
    degraded: Mapping[str, Any] | None
    policy: str | None
    job_of_first: str | None
    outdated: bool

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Self:
        return cls._make(row)


_JOB_OF_FIRST = second_items.job_of_first().label("job_of_first")
_KNOWN = select(*ITEM, items.c.arguments, prompts.SYSTEM).where(among(items.c.id))
_WANTED = (
    select(
        *(items.c[name] for name in _QueuedItem._fields[:-2]),
        _JOB_OF_FIRST,
        OUTDATED.label("outdated"),
    )
    .where(among(items.c.id))
    .order_by(items.c.id)
    .with_for_update(of=items)
)
_RUN = (
    update(items)
    .where(among(items.c.id))
    .values(
        state=bindparam("next_state"),
        fence=items.c.fence + 1,
        lease_until=bindparam("lease_until"),
        held=items.c.bound,
        reason=None,
    )
)
_WAIT = (
    update(items)
    .where(items.c.id == bindparam("b_id"))
    .values(
        state=State.WAITING.value,
        ready_at=bindparam("b_ready"),
        reason=bindparam("b_reason"),
        ceiling=bindparam("b_ceiling"),
    )
)

_NOTHING: Mapping[str, int] = {}
_BUDGETS = select(items.c.id, items.c.budget).where(among(items.c.id))


def budgets(connection: Connection, item_ids: Sequence[str]) -> dict[str, str | None]:
    """The budget of each of these items, by id."""
    found = connection.execute(_BUDGETS, {"ids": list(item_ids)})
    return {row.id: row.budget for row in found}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimant:
    """Who claims, and for which deployment.

    ``metered``: a lost reply of this deployment may have been billed. ``patience_us``: how long an
    item waits before it asks again for headroom in a ceiling full of others' holds, or for a worker
    that knows its deployment as its policy has it. ``counted``: whether the call's cost counts
    towards ceilings and the item's ``max_cost``; ``by_the_hour``: whether that cost is its time's.
    ``policy`` is the digest of the worker's, ``terms`` what that says of the deployment. ``batch``:
    the id of the batch that collected items are handed over in, instead of queued ones being run.
    ``flex_us``: the microseconds an item must have left that goes by its deployment's flex tier.
    """

    worker: str
    tier: str
    deployment: str
    provider: str
    metered: bool
    counted: bool = True
    by_the_hour: bool = False
    lease_us: int
    patience_us: int = 500_000
    policy: str = ""
    terms: str = ""
    batch: str | None = None
    flex_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One claimed item, carried by whoever calls until it is settled."""

    item: Item
    """As it stood before."""
    arguments: Mapping[str, Any] = field(repr=False)
    """What it was called with."""
    fence: Fence
    """The claim's."""
    held: NanoUSD
    """Nano-dollars that the call costs at most."""
    counted: bool = True
    """Whether ceilings count what it costs."""
    balances: tuple[str, ...]
    """Where they are held."""
    started_at: int
    """Epoch microseconds."""
    system: str | None = field(default=None, repr=False)
    """The instruction that stands in for its task type's own, where it is asked under another."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What became of a slice: claimed, dead at the claim, or left."""

    claimed: list[Claim]
    ends: Ends
    waiting: int
    """How many wait for headroom or for another worker."""
    stale: int
    """How many are not as their slice says."""


def _scopes(row: _QueuedItem, claimant: Claimant) -> list[Scope]:
    """Every scope whose ceilings cover a call of this item on the claimant's deployment."""
    if not claimant.counted:
        return []
    scopes: list[Scope] = [
        ("budget", row.budget),
        ("tier", claimant.tier),
        ("deployment", claimant.deployment),
        ("provider", claimant.provider),
        ("everything", "*"),
    ]
    job_id = row.job_id or row.job_of_first
    if row.purpose is not None:
        scopes.append(("purpose", row.purpose))
    return scopes if job_id is None else [*scopes, ("job", job_id)]


def read(connection: Connection, item_ids: Iterable[str]) -> dict[str, KnownItem]:
    """The items of a slice, by id, with all that their calls need; locks nothing.

    It takes long, and on SQLite nobody else writes while a claim is open: ``claim`` comes after.
    """
    rows = connection.execute(_KNOWN, {"ids": sorted(item_ids)})
    return {row.id: KnownItem(Item.from_row(row[:-2]), row.arguments, row.system) for row in rows}


def claim(
    connection: Connection,
    claimant: Claimant,
    wanted: Mapping[str, int],
    known: Mapping[str, KnownItem],
    now: int,
    held_back: Mapping[str, int] = _NOTHING,
) -> Claims:
    """Claim the items of ``wanted`` (id -> fence as dispatched), each for itself.

    ``known`` is what ``read`` said of them. Claimed is what is still queued for this deployment
    under that fence and fits all that covers it. It waits if only others' holds are in the way, or
    this worker's policy differs on the deployment, or until ``held_back`` says (epoch microseconds,
    by id), where another policy's walls hold; it dies (``cost_ceiling``, ``deadline``) if it can
    never go. Routed under another policy, or above its own ``max_cost``, it is routed anew; so is
    what does not fit and was bounded before its task type's calls were known.
    """
    rows = [
        _QueuedItem.from_row(row) for row in connection.execute(_WANTED, {"ids": sorted(wanted)})
    ]
    claimed: list[Claim] = []
    deaths: list[Death] = []
    able: list[_QueuedItem] = []
    anew: list[str] = []
    late = any(row.deadline is not None and row.deadline < now for row in rows)
    condition = conditions.by_deployment(connection).get(claimant.deployment) if late else None
    waits: list[dict[str, Any]] = []
    for row in _as_dispatched(rows, claimant, wanted, known):
        match _obstacle(row, known[row.id].item, claimant, now, condition, held_back):
            case State.SUBMITTED:
                anew.append(row.id)
            case Death() as death:
                deaths.append(death)
            case Wait() as code:
                until = held_back.get(row.id, now + claimant.patience_us)
                waits.append(_wait(row, until, code))
            case None:
                able.append(row)
    needs = [Need(row.id, row.fence + 1, row.bound, _scopes(row, claimant)) for row in able]
    falling: dict[str, dict[str, Any]] = {}
    decisions = list(zip(able, books.hold(connection, now, needs), strict=True))
    decisions, may_hold_less = _apart(connection, claimant, decisions, known)
    anew += may_hold_less
    for row, decision in decisions:
        match decision:
            case Hold(balances):
                claimed.append(
                    Claim(
                        item=known[row.id].item,
                        arguments=known[row.id].arguments,
                        system=known[row.id].system,
                        fence=Fence(row.fence + 1),
                        held=row.bound,
                        counted=claimant.counted,
                        balances=balances,
                        started_at=now,
                    )
                )
            case Shortfall() if (
                decision.hopeless and (to := _below(row, claimant.tier)) is not None
            ):
                refused = ceiling_exceeded(row.id, decision).fields
                falling[row.id] = {**fallen(to, row.deployment, "ceiling"), "refused": refused}
            case Shortfall() if decision.hopeless:
                deaths.append(ceiling_exceeded(row.id, decision))
            case Shortfall():
                until = now + claimant.patience_us
                waits.append(_wait(row, until, Wait.CEILING, decision.ceiling))
    _write_claims(connection, claimant, claimed, now)
    if waits:
        connection.execute(_WAIT, waits)
    fall_back(connection, falling)
    policies.route_anew(connection, [*falling, *anew])
    ends = die(connection, deaths, now)
    left = len(wanted) - len(claimed) - len(deaths) - len(waits) - len(falling) - len(anew)
    return Claims(claimed, ends, len(waits), left)


def _apart(
    connection: Connection,
    claimant: Claimant,
    decisions: list[tuple[_QueuedItem, Hold | Shortfall]],
    known: Mapping[str, KnownItem],
) -> tuple[list[tuple[_QueuedItem, Hold | Shortfall]], list[str]]:
    """The decisions, and apart from them the items that do not fit because their whole timeout was
    to be held, when too little was known of such calls.
    """
    whole = {
        row.id: known[row.id].item.task
        for row, decision in decisions
        if claimant.by_the_hour
        and isinstance(decision, Shortfall)
        and row.policy == claimant.policy
        and known[row.id].item.calls == 0
        and (known[row.id].item.route or {}).get("measured") is False
    }
    tasks = call_seconds.known(connection, claimant.deployment) if whole else set()
    less = [item_id for item_id, task in whole.items() if task in tasks]
    return [decided for decided in decisions if decided[0].id not in less], less


def _as_dispatched(
    rows: Sequence[_QueuedItem],
    claimant: Claimant,
    wanted: Mapping[str, int],
    known: Mapping[str, KnownItem],
) -> Iterator[_QueuedItem]:
    """The rows that are as they were when their slice was sent, and when they were read."""
    before = State.QUEUED if claimant.batch is None else State.WAITING
    for row in rows:
        seen = known.get(row.id)
        stands = (row.state, row.fence, row.deployment) == (
            before,
            wanted[row.id],
            claimant.deployment,
        )
        if stands and seen is not None and seen.item.policy == row.policy:
            yield row


def _obstacle(
    row: _QueuedItem,
    item: Item,
    claimant: Claimant,
    now: int,
    condition: Condition | None,
    held_back: Container[str],
) -> Death | Wait | State | None:
    """What stands in the way before money is asked for: its end, a wait, or ``submitted`` again."""
    if row.outdated:
        return State.SUBMITTED
    terms = (item.route or {}).get("terms")
    differs = row.policy not in (None, claimant.policy) and terms != claimant.terms
    if differs or row.id in held_back:
        return Wait.OTHER_POLICY
    if row.deadline < now:
        return expired(row.id, row.deadline, now, condition)
    if item.lane == "flex" and row.deadline - now < claimant.flex_us:
        return State.SUBMITTED
    # What it has spent since it was routed; the choice counts it, and ends what fits nowhere.
    if not claimant.counted or row.max_cost is None:
        return None
    return State.SUBMITTED if row.spent - row.attributed + row.bound > row.max_cost else None


def _wait(row: _QueuedItem, until: int, code: Wait, ceiling: str | None = None) -> dict[str, Any]:
    return {"b_id": row.id, "b_ready": until, "b_reason": code.value, "b_ceiling": ceiling}


def _below(row: _QueuedItem, tier: str) -> str | None:
    """The tier that the item may fall to where a ceiling can never cover it."""
    to = (row.fallback or {}).get("on_ceiling")
    return to if row.degraded is None and to != tier else None


def _write_claims(
    connection: Connection, claimant: Claimant, claimed: Sequence[Claim], now: int
) -> None:
    if not claimed:
        return
    alone = claimant.batch is None
    run: dict[str, Any] = {
        "ids": [claim.item.id for claim in claimed],
        "next_state": (State.RUNNING if alone else State.HANDED_OVER).value,
        "lease_until": now + claimant.lease_us if alone else None,
    }
    connection.execute(_RUN, run)
    insert_many(
        connection,
        attempts,
        [
            {
                "item_id": claim.item.id,
                "fence": claim.fence,
                "tier": claimant.tier,
                "deployment": claimant.deployment,
                "worker": claimant.worker,
                "metered": claimant.metered,
                "balances": list(claim.balances),
                "held": claim.held,
                "started_at": now,
                "batch": claimant.batch,
            }
            for claim in claimed
        ],
    )
