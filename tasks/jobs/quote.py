"""A quote: what a file of work would cost and how long it would take, before anything runs."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tierqueue.ledger.accounting.spending import CallHistory
from tierqueue.ledger.lifecycle.items import Death, NewItem
from tierqueue.router.choose import Conditions, choose
from tierqueue.router.errors import InvalidItem
from tierqueue.router.escalation import after_rejection
from tierqueue.router.item import BelowTier, Sensitivity, Tier, WorkItem
from tierqueue.router.policy.lanes import Lane
from tierqueue.router.policy.policy import Policy
from tierqueue.router.route import Choice, Route
from tierqueue.router.signals import Signals
from tierqueue.tasks.jobs.expectation import Estimate, Outlay, outlay, repriced, share
from tierqueue.tasks.jobs.outlook import time_of
from tierqueue.tasks.routing.decide import work_item_of
from tierqueue.tasks.routing.forecast.answerers import ForeseenAnswer
from tierqueue.tasks.routing.forecast.decision import signals_of
from tierqueue.tasks.routing.forecast.file_rows import RowsBelow
from tierqueue.tasks.routing.measurements import Measurements
from tierqueue.tasks.routing.predictors import Predictors
from tierqueue.tasks.routing.token_counter import TokenCounter


@dataclass(slots=True)
class QuotePart:
    """The rows that go to one deployment by one ``lane``, or that are answered without a call
    (``BelowTier``, by the version ``deployment``, at no cost); money in nano-dollars.

    ``bound`` is that of one call a row; ``expected`` that of every call, retries and escalations
    too, ``None`` where no item of this task type ran there. Both are what ceilings count:
    ``counted`` is false where that is nothing; ``outlay`` is all that it takes.
    """

    tier: Tier | BelowTier
    deployment: str
    simulated: bool
    past: CallHistory | None
    counted: bool = True
    lane: Lane = Lane.LIVE
    rows: int = 0
    bound: int = 0
    expected: Estimate | None = None
    outlay: Outlay | None = None

    @property
    def calls(self) -> bool:
        """Whether its rows take a call."""
        return not isinstance(self.tier, BelowTier)


@dataclass(slots=True)
class RefusedRows:
    """Rows that would be dead letters, by one reason: how many, the first (from 0) and its why."""

    rows: int
    first: int
    why: str


@dataclass(slots=True)
class Quote:
    """What a file would come to. ``seconds`` is ``None`` where no history says: see ``untimed``.

    The bound is that of one call a row: a retry or an escalation is held and paid for anew.
    ``visits``: how many calls each deployment is expected to be asked for. ``in_pieces``: rows that
    are several calls; the parts count each of these as a row.
    """

    rows: int = 0
    in_pieces: int = 0
    parts: dict[str, QuotePart] = field(default_factory=dict)
    refused: dict[str, RefusedRows] = field(default_factory=dict)
    seconds: float | None = None
    visits: dict[str, float] = field(default_factory=dict)
    paid_by: dict[tuple[str, str], float] = field(default_factory=dict)
    untimed: str = ""

    @property
    def calls(self) -> int:
        """First calls: one a row, and of a document in pieces one for each and for what joins."""
        return sum(part.rows for part in self.parts.values() if part.calls)

    @property
    def answered(self) -> int:
        """Rows that are answered without a call."""
        return sum(part.rows for part in self.parts.values() if not part.calls)

    @property
    def bound(self) -> int:
        return sum(part.bound for part in self.parts.values())

    @property
    def expected(self) -> Estimate | None:
        """What all rows are expected to cost; ``None`` where nothing is known of some."""
        whole = Estimate()
        for part in self.parts.values():
            if part.expected is None:
                return None
            whole = whole + part.expected
        return whole

    @property
    def outlay(self) -> Outlay | None:
        """All that the rows are expected to take; ``None`` where nothing is known of some."""
        whole = Outlay()
        for part in self.parts.values():
            if part.outlay is None:
                return None
            whole = whole + part.outlay
        return whole

    @property
    def learned_from(self) -> int:
        """How many items the least known part is learned from."""
        called = [part.past for part in self.parts.values() if part.calls]
        return min((0 if past is None else past.items for past in called), default=0)


def quote(
    made: Iterable[tuple[NewItem, Death | None]],
    policy: Policy,
    past: Mapping[tuple[str, bool], CallHistory],
    concurrency: Mapping[Tier, int],
    now: int,
    measured: Measurements,
    calls_of: Callable[[NewItem], Sequence[NewItem]] = lambda new: [new],
    below: RowsBelow | None = None,
) -> Quote:
    """Route every row as it would be routed ``now`` (epoch microseconds); commits nothing.

    ``past`` is by deployment and whether it was simulated; ``concurrency`` is what operators set;
    ``measured`` is what routing is told. What a deployment's calls cost so far counts at the price
    of the lane that a row goes by. ``calls_of`` says what a row is asked in, where that is more
    than one call: if one of them goes nowhere, nor does the row. ``below`` says which rows are
    answered without a call.
    Raises ``Misconfigured`` where a tokenizer or a predictor that the policy states cannot be
    loaded.
    """
    found = Quote()
    conditions = measured.conditions(now)
    counter, predictors = TokenCounter(policy), Predictors(policy)
    known = {
        name: there
        for name, deployment in policy.deployments.items()
        if (there := past.get((name, deployment.simulated))) is not None and there.items
    }
    for index, (new, death) in enumerate(made):
        found.rows += 1
        if death is not None:
            _refuse(found, death.reason, index, death.message)
            continue
        try:
            asked = calls_of(new)
        except InvalidItem as error:
            _refuse(found, error.reason, index, error.message)
            continue
        routed = []
        for call in asked:
            item = work_item_of(call, policy, now)
            signals = signals_of(item, call, counter, predictors)
            chosen = choose(item, signals, policy, conditions)
            if not isinstance(chosen, Route):
                _refuse(found, chosen.reason, index, chosen.message)
                break
            routed.append((item, signals, chosen))
        else:
            found.in_pieces += len(asked) > 1
            first = None if below is None else below.answers(new, routed, index)
            if first is not None:
                _answered(found, first)
                continue
            for item, signals, route in routed:
                steps = [route, *escalations(item, route, signals, policy, conditions)]
                _add(found, steps, policy, known, now, item.demands.budget)
    found.seconds = _seconds(found, policy, known, concurrency, measured)
    return found


def _answered(found: Quote, first: ForeseenAnswer) -> None:
    """One row that takes no call."""
    nothing = QuotePart(first.by, first.version, False, None, expected=Estimate(), outlay=Outlay())
    found.parts.setdefault(first.version, nothing).rows += 1


def _add(
    found: Quote,
    steps: Sequence[Route],
    policy: Policy,
    known: Mapping[str, CallHistory],
    now: int,
    budget: str | None,
) -> None:
    """One call that goes to the first of ``steps``, and to each other where it is refused; the
    ``budget`` pays.
    """
    chosen = steps[0]
    lane = f"{chosen.deployment} {chosen.lane}"
    part = found.parts.get(lane)
    if part is None:
        simulated = policy.deployments[chosen.deployment].simulated
        there = known.get(chosen.deployment)
        counted = policy.counts(policy.deployments[chosen.deployment])
        part = QuotePart(chosen.tier, chosen.deployment, simulated, there, counted, chosen.lane)
        found.parts[lane] = part
    part.rows += 1
    part.bound += _counted(chosen, policy)
    likely = outlay(steps, repriced(steps, known, policy, now), policy)
    if likely is not None:
        whole, reached = likely
        part.outlay = whole if part.outlay is None else part.outlay + whole
        part.expected = part.outlay.counted(policy)
        for step, chance in zip(steps, reached, strict=True):
            found.visits[step.deployment] = found.visits.get(step.deployment, 0.0) + chance
            if budget is not None:
                paid = step.deployment, budget
                found.paid_by[paid] = found.paid_by.get(paid, 0.0) + chance


def _counted(route: Route, policy: Policy) -> int:
    """The most that the call costs, in nano-dollars, as far as ceilings count it."""
    return route.bound if policy.counts(policy.deployments[route.deployment]) else 0


def escalations(
    item: WorkItem, chosen: Choice, signals: Signals, policy: Policy, conditions: Conditions
) -> Iterator[Route]:
    """Where the item would go after each refusal, as far as its calls reach."""
    refused_by: tuple[Tier, ...] = ()
    sensitivity = item.demands.sensitivity or Sensitivity.REGULATED
    while isinstance(chosen, Route) and len(refused_by) + 1 < policy.retry.calls:
        refused_by = (*refused_by, chosen.tier)
        if after_rejection(refused_by, policy, item.task, sensitivity) is None:
            return
        chosen = choose(replace(item, refused_by=refused_by), signals, policy, conditions)
        if isinstance(chosen, Route):
            yield chosen


def _refuse(found: Quote, reason: str, index: int, why: str) -> None:
    if reason in found.refused:
        found.refused[reason].rows += 1
    else:
        found.refused[reason] = RefusedRows(1, index, why)


def _seconds(
    found: Quote,
    policy: Policy,
    known: Mapping[str, CallHistory],
    concurrency: Mapping[Tier, int],
    measured: Measurements,
) -> float | None:
    if unknown := [part.deployment for part in found.parts.values() if part.expected is None]:
        found.untimed = f"no item of this task type has ended on {', '.join(unknown)}"
        return None
    if any(part.lane is Lane.BATCH for part in found.parts.values()):
        found.untimed = "batches take minutes or hours, and what is not done goes live in time"
        return None
    if any(part.lane is Lane.FLEX for part in found.parts.values()):
        found.untimed = "flex tiers answer when they can, and what has no answer goes live in time"
        return None
    asked = found.visits, policy, known, concurrency, measured.limits
    seconds, found.untimed = time_of(*asked, found.paid_by)
    return seconds


def most_after(made: Iterable[NewItem], policy: Policy, now: int) -> Mapping[str, float]:
    """The most that an item of ``made`` can take in the tiers above its first: the parts of an
    ``Outlay`` by their names, hours as nano-hours.
    """
    conditions, counter = Conditions(now=now), TokenCounter(policy)
    most = dict.fromkeys(("cash", "engines", "hours"), 0.0)
    for new in made:
        item = work_item_of(new, policy, now)
        signals = signals_of(item, new, counter, None)
        chosen = choose(item, signals, policy, conditions)
        above = list(escalations(item, chosen, signals, policy, conditions))
        for part, before in most.items():
            its = sum(route.bound * share(policy, route.deployment, part) for route in above)
            most[part] = max(before, float(its))
    return most
