"""The outlook of a job under way: its final cost, the pace of its rows, the end of the last.

Learned from the job's own items that have ended. The range is that of a mean over them and of the
chance to go on to another tier: where the rows to come are of another kind, it does not hold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from tierqueue.ledger.accounting.spending import CallHistory
from tierqueue.ledger.operations import job_counts, jobs
from tierqueue.ledger.operations.job_counts import TierCount
from tierqueue.ledger.operations.jobs import JobProgress
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.router.item import Tier
from tierqueue.router.policy.deployment import Limits
from tierqueue.router.policy.duration import MINUTE_US, SECOND_US
from tierqueue.router.policy.policy import Policy
from tierqueue.tasks.jobs.expectation import Estimate, chance_of, student

WINDOW_US = MINUTE_US
"""Microseconds that a rate is measured over, at the most."""

_FEW_SECONDS = 4
"""Seconds of a job that is so young that whole seconds say too little."""

ENOUGH = 20
"""Items that have ended, of fewer nothing is told."""


@dataclass(frozen=True, slots=True)
class TierOutlook:
    """A job's own items in one tier: how many ended and are left there, and what they cost.

    ``rate`` is in items a second over the last minute; ``seconds`` until those left have ended,
    ``None`` where none ends.
    """

    ended: int
    left: int
    cost: int
    rate: float
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Outlook:
    """``expected``: nano-dollars at the end, ``None`` before ``ENOUGH`` items have ended.

    ``rate``: items a second over the last minute; ``seconds`` until the last one ends, ``None``
    where none ends now.
    """

    expected: Estimate | None
    rate: float
    seconds: float | None
    tiers: Mapping[str, TierOutlook]


def outlook_of(ledger: Ledger, job_id: str) -> tuple[JobProgress, Outlook]:
    """Where a job is and where it goes; raises ``KeyError`` for an unknown one."""
    with ledger.read() as connection:
        now = database_now(connection)
        progress, paces = jobs.with_paces(connection, job_id, now - WINDOW_US)
        first = _first(paces)
        young = first is not None and now // SECOND_US - first < _FEW_SECONDS
        began = job_counts.began(connection, job_id, first) if young and first else None
    return progress, outlook(progress, paces, now, began)


def outlook(
    progress: JobProgress, paces: Sequence[TierCount], now: int, began: int | None = None
) -> Outlook:
    """What follows ``now`` (epoch µs) from the ``paces`` of a job's own items; ``began``: when the
    first calls of a job did of which little is known.
    """
    own = sum(pace.ended + pace.left for pace in paces)
    share = own / progress.submitted if progress.submitted else 1.0
    coming = 0.0 if progress.cancelled else (progress.total - progress.submitted) * share
    left = sum(pace.left for pace in paces) + coming
    rates = _rates(paces, now, began)
    tiers: dict[str, TierOutlook] = {}
    for name in sorted({pace.tier for pace in paces if pace.tier is not None}):
        here = [pace for pace in paces if pace.tier == name]
        rate = sum(its for pace, its in zip(paces, rates, strict=True) if pace.tier == name)
        waiting = sum(pace.left for pace in here)
        tiers[name] = TierOutlook(
            sum(pace.ended for pace in here),
            waiting,
            round(sum(pace.spent for pace in here)),
            rate,
            _seconds(waiting, rate),
        )
    cost = _cost(progress.spent + progress.booked, left, paces, progress.under_way)
    rate = sum(rates)
    return Outlook(cost, rate, _last(paces, rates, coming), tiers)


def _first(paces: Sequence[TierCount]) -> int | None:
    """The first second that is known in which an item ended."""
    return min((second for pace in paces for second in pace.ends), default=None)


def _rates(paces: Sequence[TierCount], now: int, began: int | None) -> list[float]:
    """Items a second, pace by pace: by whole seconds, after the one in which the first ended.

    Many end at once at first, and the second that is under way is not over. Where there are too few
    whole ones the time counts in which the calls ran.
    """
    first, over = _first(paces), now // SECOND_US
    if first is None:
        return [0.0 for _ in paces]
    if over - first < _FEW_SECONDS:
        since = min(first * SECOND_US, now if began is None else began)
        seconds = max((now - since) / SECOND_US, 1e-6)
        return [sum(pace.ends.values()) / seconds for pace in paces]
    return [
        sum(rows for second, rows in pace.ends.items() if first < second < over)
        / (over - first - 1)
        for pace in paces
    ]


def _last(paces: Sequence[TierCount], rates: Sequence[float], coming: float) -> float | None:
    """Seconds until the last of the tiers is done, which work side by side, each at its pace.

    What has no tier yet goes where the others went, and as many go on to another as so far.
    """
    first = [pace for pace in paces if pace.tier is not None and not pace.went_on]
    onward = [pace for pace in paces if pace.went_on]
    placed = sum(pace.ended + pace.left for pace in first + onward)
    unplaced = coming + sum(pace.left for pace in paces if pace.tier is None)
    tried = sum(pace.ended for pace in first) + sum(pace.ended + pace.left for pace in onward)
    to_try = unplaced + sum(pace.left for pace in first)
    load: dict[str, float] = {}
    pace_of: dict[str, float] = {}
    for pace, rate in zip(paces, rates, strict=True):
        if pace.tier is None:
            continue
        its = pace.ended + pace.left
        more = to_try * its / tried if pace.went_on and tried else 0.0
        if not pace.went_on:
            more = unplaced * its / (placed - sum(one.ended + one.left for one in onward))
        load[pace.tier] = load.get(pace.tier, 0.0) + pace.left + more
        pace_of[pace.tier] = pace_of.get(pace.tier, 0.0) + rate
    if not placed and unplaced:
        return None
    # Half a row that may go on to a tier where none is under way is none.
    known = [_seconds(rows, pace_of[name]) for name, rows in load.items() if rows >= 0.5]
    return None if None in known else max((one for one in known if one is not None), default=0.0)


def _seconds(left: float, rate: float) -> float | None:
    if not left:
        return 0.0
    return left / rate if rate else None


def _cost(
    so_far: int, left: float, paces: Sequence[TierCount], under_way: int = 0
) -> Estimate | None:
    """The money at the end: what is spent, and for each item to come what one has cost, of which
    ``under_way`` is spent already.
    """
    count = sum(pace.ended for pace in paces)
    if not left:
        return Estimate(so_far, so_far, so_far)
    if count < ENOUGH:
        return None
    plain, onward = ([pace for pace in paces if pace.went_on is one] for one in (False, True))
    value = left * (sum(pace.spent for pace in paces) / count + _longer(paces))
    chance = chance_of(sum(pace.ended for pace in onward), count)
    first, then = _mean(plain, left), _mean(onward, left * chance.value)
    # Of a length that is not that of the rows so far, half of what it changes is in doubt.
    longer = _longer(paces)
    low = left * ((1 - chance.low) * first.low + chance.low * then.low + longer - abs(longer) / 2)
    high = left * (
        (1 - chance.high) * first.high + chance.high * then.high + longer + abs(longer) / 2
    )
    coming = (min(low, value), value, max(high, value))
    return Estimate(*(so_far + max(0.0, cost - under_way) for cost in coming))


def _longer(paces: Sequence[TierCount]) -> float:
    """What an item to come costs more than those that have ended, because its prompt is longer.

    The longest of a slice are sent first, so that those that end first are no fair sample.
    """
    count, left = sum(pace.ended for pace in paces), sum(pace.left for pace in paces)
    if count < ENOUGH or not left:
        return 0.0
    size, spent = sum(pace.size for pace in paces), sum(pace.spent for pace in paces)
    spread = sum(pace.size_squares for pace in paces) - size * size / count
    together = sum(pace.size_spent for pace in paces) - size * spent / count
    if spread <= 0 or together <= 0:
        return 0.0
    slope = together / spread
    return slope * (sum(pace.size_left for pace in paces) / left - size / count)


def _mean(paces: Sequence[TierCount], left: float) -> Estimate:
    """What an item of ``left`` to come costs on average, with the range of that average."""
    count = sum(pace.ended for pace in paces)
    if not count:
        return Estimate()
    total, squares = sum(pace.spent for pace in paces), sum(pace.squares for pace in paces)
    mean = total / count
    if count < 2:
        return Estimate(0.0, mean, 2 * mean)
    variance = max(0.0, (squares - total * mean) / (count - 1))
    reach = student(count - 1) * sqrt(variance / count + variance / max(left, 1.0))
    return Estimate(max(0.0, mean - reach), mean, mean + reach)


def time_of(
    visits: Mapping[str, float],
    policy: Policy,
    known: Mapping[str, CallHistory],
    concurrency: Mapping[Tier, int],
    chosen: Mapping[str, Mapping[str, int]],
    paid_by: Mapping[tuple[str, str], float],
) -> tuple[float | None, str]:
    """How long so many rows take at each deployment, in seconds from when they begin: tiers work
    side by side, within the limits of deployments, accounts and budgets, or those that operators
    have ``chosen`` in their place. ``paid_by``: for how many of the rows at a deployment a budget
    pays. ``None``, and why, where it is not known.
    """
    busy: dict[Tier, float] = {}
    asked: dict[str, _Demand] = {}
    for name, rows in visits.items():
        deployment, past = policy.deployments[name], known.get(name)
        if past is None or past.seconds is None:
            return None, f"refused answers would go to {name}, where none has ended yet"
        its = _Demand.of(rows, past)
        busy[deployment.tier] = busy.get(deployment.tier, 0.0) + its.work
        for scope in (name, *([f"account:{deployment.account}"] if deployment.account else [])):
            asked[scope] = asked.get(scope, _Demand()) + its
    for (name, budget), rows in paid_by.items():
        scope = f"budget:{budget}"
        asked[scope] = asked.get(scope, _Demand()) + _Demand.of(rows, known[name])
    longest = max(
        (
            _within(policy.limits_of(scope), chosen.get(scope, {}), needed)
            for scope, needed in asked.items()
        ),
        default=0.0,
    )
    for tier, work in busy.items():
        calls = concurrency.get(tier, policy.tiers[tier].concurrency)
        if calls == 0:
            return None, f"tier {tier} is stopped: its calls in flight are set to 0"
        longest = max(longest, work / calls)
    return longest, ""


@dataclass(frozen=True, slots=True)
class _Demand:
    """What rows ask of one scope's limits: seconds of calls, calls, tokens of input and output."""

    work: float = 0.0
    calls: float = 0.0
    input: float = 0.0
    output: float = 0.0

    @classmethod
    def of(cls, rows: float, past: CallHistory) -> "_Demand":
        """What so many rows ask that are as those were."""
        one = (past.seconds or 0.0, 1.0, past.tokens - past.output, past.output)
        return cls(*(rows * part for part in one))

    def __add__(self, other: "_Demand") -> "_Demand":
        return _Demand(
            self.work + other.work,
            self.calls + other.calls,
            self.input + other.input,
            self.output + other.output,
        )


def _within(stated: Limits, chosen: Mapping[str, int], needed: _Demand) -> float:
    """The seconds that what is ``needed`` takes within limits."""
    limits = stated.model_copy(update=dict(chosen))
    longest = needed.work / (limits.in_flight or float("inf"))
    for rate, much in (
        (limits.requests_per_minute, needed.calls),
        (limits.tokens_per_minute, needed.input + needed.output),
        (limits.input_tokens_per_minute, needed.input),
        (limits.output_tokens_per_minute, needed.output),
        (limits.requests_per_day and limits.requests_per_day / 1440, needed.calls),
    ):
        if rate is not None:
            longest = max(longest, much * 60 / rate)
    return longest
