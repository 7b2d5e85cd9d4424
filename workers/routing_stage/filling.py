"""The filling of queues: the submitted items to route, and the routed ones to send to each tier.

What somebody waits for goes ahead of everything else; behind it, and within it, budgets and jobs
have their fair shares.
"""

from collections.abc import Mapping, Sequence

from tierqueue.ledger.in_force import pauses, tier_concurrency
from tierqueue.ledger.in_force.pauses import Pause
from tierqueue.ledger.lifecycle import flows, poison, routes
from tierqueue.ledger.lifecycle.flows import FEW, Flow, is_urgent
from tierqueue.ledger.monitoring.outset import Outset
from tierqueue.ledger.monitoring.queue_depths import QueueDepth, fillings
from tierqueue.ledger.records import Item, ReadyItem
from tierqueue.ledger.session import Transaction
from tierqueue.router.item import TIERS, Tier
from tierqueue.router.policy.policy import Policy
from tierqueue.tasks.broker.slices import Slice, cut
from tierqueue.workers.routing_stage.fair_shares import AHEAD, FairShares
from tierqueue.workers.routing_stage.used_up_rates import UsedUpRates

_ROUTE = "route"
"""The place of what is not routed yet, beside the tiers."""


class Fill:
    """Whose items one routing stage takes, look by look; ``resend_us`` as for the sweep."""

    def __init__(self, policy: Policy, resend_us: int) -> None:
        self._policy = policy
        self._resend_us = resend_us
        self._shares = FairShares({name: kept.weight for name, kept in policy.budgets.items()})
        self._owed: dict[Tier, float] = {}
        self._since: dict[str, str] = {}
        self._used_up = UsedUpRates(policy)
        self._many: set[str] = set()

    def submitted(self, connection: Transaction, most: int, *, lock: bool) -> list[Item]:
        """The next submitted items; with ``lock`` for this transaction."""

        def take(wanted: Mapping[str, int]) -> list[Item]:
            return routes.submitted(connection, wanted, lock=lock)

        if most >= FEW and _ROUTE not in self._many:
            every = routes.all_submitted(connection, lock=lock)
            if every is not None:
                return every
        urgent, usual = _apart(self._flows(connection, None))
        ahead = most - most // (AHEAD + 1) if usual else most
        found = self._shares.take(f"{_ROUTE} urgent", urgent, ahead, take)
        found += self._shares.take(_ROUTE, usual, most - len(found), take)
        self._note(_ROUTE, len(found))
        return found

    def _note(self, place: str, found: int) -> None:
        """Where many were found, it is not worth it to look first whether they are few."""
        if found > FEW:
            self._many.add(place)
        else:
            self._many.discard(place)

    def tiers(
        self,
        connection: Transaction,
        outset: Outset,
        paused: Sequence[Pause],
        held: Sequence[str],
        *,
        suspected: bool,
    ) -> tuple[list[tuple[Tier, Slice]], bool, bool]:
        """Queue what there is capacity for, in the round that began from ``outset``.

        Returns the slices, whether a queue is full, and whether there may be suspects; these are
        looked for where they are ``suspected``.
        """
        filled: list[tuple[Tier, Slice]] = []
        full = False
        now = outset.now
        in_force = tier_concurrency.all_concurrency(connection) if outset.tiers_set else {}
        known = fillings(connection)
        last = poison.last_chance(self._policy.retry.poison)
        again_at = now + self._resend_us
        open_tiers: list[Tier] = []
        few = self._used_up.headroom(connection, now, any_waits=outset.due_at is not None)
        for tier in TIERS:
            if pauses.holds(paused, {"tier": tier.value}):
                continue
            stated = self._policy.tiers[tier]
            concurrency = in_force.get(tier, stated.concurrency)
            capacity = depth(concurrency, stated.slice) - known[tier].queued
            headroom = capacity + spare(concurrency)
            # Capacity for whole slices is waited for: a message costs what many items cost.
            capacity = max(0, capacity - capacity % stated.slice)
            full = full or not capacity
            if capacity:
                open_tiers.append(tier)
            if not _worth(known[tier], capacity, headroom):
                continue

            if capacity >= FEW and not (paused or held or few or tier in self._many):
                every = routes.queue_all(connection, tier, again_at, last)
                if every is not None:
                    filled += [(tier, slice_) for slice_ in cut(every, stated.slice)]
                    continue

            def take(wanted: Mapping[str, int], tier: Tier = tier) -> list[ReadyItem]:
                return routes.queue(connection, tier, wanted, again_at, paused, last, held)

            having = self._flows(connection, tier)
            urgent, usual = _apart([flow for flow in having if _free(flow, paused, held)])
            usual = [flow for flow in usual if few.get(flow.deployment or "", 1)]
            ahead = self._shares.take(f"{tier} urgent", urgent, headroom, take)
            # Whatever headroom there is: where both have work, nobody stands still.
            owed = self._owed.get(tier, 0.0) + len(ahead) / AHEAD if usual else 0.0
            self._owed[tier] = owed % 1.0
            bounded = self._used_up.bounded(take, usual, few, now)
            ready = [*ahead, *self._shares.take(tier, usual, max(capacity, int(owed)), bounded)]
            self._note(tier, len(ready))
            full = full or len(ready) >= capacity
            filled += [(tier, slice_) for slice_ in cut(ready, stated.slice)]
        if open_tiers and suspected:
            alone, suspected = poison.queue(connection, open_tiers, last, again_at, paused, held)
            filled += [(Tier(ready.tier), slice_) for ready in alone for slice_ in cut([ready], 1)]
            full = full or suspected
        return filled, full, suspected

    def _flows(self, connection: Transaction, tier: Tier | None) -> list[Flow]:
        """The flows that have work, urgent ones first; of very many a part, another each time."""
        place = None if tier is None else tier.value
        found = flows.with_work(connection, place)
        if len(found) < flows.MOST:
            return found
        since = self._since.get(place or _ROUTE, "")
        more = flows.with_work(connection, place, since)
        # Behind the last one by its bytes, and before any other.
        full = len(more) == flows.MOST
        self._since[place or _ROUTE] = f"{more[-1].name} " if full else ""
        return list({flow.name: flow for flow in [*found, *more]}.values())


def _apart(having: Sequence[Flow]) -> tuple[list[Flow], list[Flow]]:
    """The urgent flows, and the others."""
    urgent = [flow for flow in having if is_urgent(flow.name)]
    return urgent, [flow for flow in having if not is_urgent(flow.name)]


def _worth(known: QueueDepth, capacity: int, headroom: int) -> bool:
    return known.routed if capacity > 0 else known.urgent and headroom > 0


def _free(flow: Flow, paused: Sequence[Pause], held: Sequence[str]) -> bool:
    """Whether any of a flow's items may go on; of one without a name each is looked at."""
    if not flow.name:
        return True
    return flow.deployment not in held and not pauses.holds(paused, flow.names)


def depth(concurrency: int, slice_size: int) -> int:
    """How many items of a tier may be queued: what can run, and the slices that come next."""
    return 0 if concurrency == 0 else concurrency + 4 * slice_size


def spare(concurrency: int) -> int:
    """How many more of a tier's items may be queued where somebody waits for them."""
    return 0 if concurrency == 0 else max(16, concurrency // 4)
