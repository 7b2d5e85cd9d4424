"""An item's expected cost: its first tier's calls, and the chance of each tier above.

Every figure comes with a range, the narrower the more items it is learned from: of a few items a
mean says little, and that none of three answers was refused says nothing of the fourth.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import sqrt

from tierqueue.ledger.accounting.spending import CallHistory
from tierqueue.router.errors import Unpriced
from tierqueue.router.policy.duration import utc
from tierqueue.router.policy.lanes import Lane
from tierqueue.router.policy.policy import Policy
from tierqueue.router.pricing import max_rate
from tierqueue.router.route import Route

_Z = 1.96
"""95 % of a normal distribution lies within so many deviations of its mean."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Nano-dollars: the expected value, and the range in which its true value lies at 95 %."""

    low: float = 0.0
    value: float = 0.0
    high: float = 0.0

    def __add__(self, other: "Estimate") -> "Estimate":
        return Estimate(self.low + other.low, self.value + other.value, self.high + other.high)

    def over(self, count: float) -> "Estimate":
        """A part of so many equal ones."""
        return Estimate(self.low / count, self.value / count, self.high / count)

    def times(self, chance: "Estimate") -> "Estimate":
        """The same, should it happen with ``chance``."""
        return Estimate(self.low * chance.low, self.value * chance.value, self.high * chance.high)


@dataclass(frozen=True, slots=True)
class Outlay:
    """What work takes. ``cash``: nano-dollars that leave the account; ``engines``: nano-dollars of
    the time of your own engines, which are paid by the hour anyway, and ``hours`` of that.
    """

    cash: Estimate = Estimate()
    engines: Estimate = Estimate()
    hours: Estimate = Estimate()

    def __add__(self, other: "Outlay") -> "Outlay":
        return Outlay(
            self.cash + other.cash, self.engines + other.engines, self.hours + other.hours
        )

    def counted(self, policy: Policy) -> Estimate:
        """What ceilings count of it, in nano-dollars."""
        return self.cash + self.engines if policy.ceilings_count == "everything" else self.cash


_NANO = 10**9
_PARTS = ("cash", "engines", "hours")


def share(policy: Policy, name: str, part: str) -> Fraction:
    """What a nano-dollar at the deployment ``name`` is of a part of an ``Outlay``; of the hours
    nano-hours.
    """
    by_the_second = policy.deployments[name].gpu_hour
    if by_the_second is None or part == "cash":
        return Fraction((by_the_second is None) == (part == "cash"))
    if part == "engines" or not by_the_second:
        return Fraction(part == "engines")
    return _NANO / (by_the_second * 3_600)


def outlay(
    steps: Sequence[Route], past: Mapping[str, CallHistory], policy: Policy
) -> tuple[Outlay, tuple[float, ...]] | None:
    """What an item takes that is asked along ``steps``, as ``expected`` says, part by part."""
    reached: tuple[float, ...] = ()
    parts: dict[str, Estimate] = {}
    for part in _PARTS:
        shares = {step.deployment: share(policy, step.deployment, part) for step in steps}
        if part != "cash" and not any(shares.values()):
            parts[part] = Estimate()
            continue
        scaled = {name: _scaled(past[name], its) for name, its in shares.items() if name in past}
        bounds = [(step.deployment, round(step.bound * shares[step.deployment])) for step in steps]
        if (likely := expected(bounds, scaled)) is None:
            return None
        parts[part], reached = likely
    return Outlay(parts["cash"], parts["engines"], parts["hours"].over(_NANO)), reached


def _scaled(past: CallHistory, share: Fraction) -> CallHistory:
    if share == 1:
        return past
    times = float(share)
    squares = past.squares * times * times
    return replace(past, cost=round(past.cost * share), squares=squares, lanes={})


def expected(
    steps: Sequence[tuple[str, int]], past: Mapping[str, CallHistory]
) -> tuple[Estimate, tuple[float, ...]] | None:
    """What an item costs that is asked along ``steps``, each step a deployment and its bound.

    It goes on to the next deployment when an answer is refused. Retries, lost replies and hidden
    reasoning are in the costs of the past. A step above the first of which nothing is known counts
    with its bound. Also the chance to get to each step; ``None`` where nothing is known of the
    first.
    """
    if not steps or steps[0][0] not in past:
        return None
    whole = Estimate()
    for name, bound in reversed(steps):
        known = past.get(name)
        whole = _own(known, bound) + whole.times(refused(known))
    reached = [1.0]
    for name, _ in steps[:-1]:
        reached.append(reached[-1] * refused(past.get(name)).value)
    return whole, tuple(reached)


def refused(known: CallHistory | None) -> Estimate:
    """The chance that an answer is refused: Laplace's rule, and Wilson's range about it.

    Of ``n`` answers of which none was refused the next one is with a chance of 1 in n + 2.
    """
    if known is None:
        return chance_of(0, 0)
    return chance_of(known.rejected, known.accepted + known.rejected)


def chance_of(bad: int, count: int) -> Estimate:
    """The chance of what came ``bad`` times of ``count``, as ``refused`` has it."""
    if not count:
        return Estimate(0.0, 0.5, 1.0)
    share, square = bad / count, _Z * _Z
    middle = (share + square / (2 * count)) / (1 + square / count)
    spread = _Z * sqrt(share * (1 - share) / count + square / (4 * count * count))
    spread /= 1 + square / count
    value = (bad + 1) / (count + 2)
    return Estimate(max(0.0, min(value, middle - spread)), value, min(1.0, middle + spread))


def _own(known: CallHistory | None, bound: int) -> Estimate:
    """What the calls at one deployment cost an item, its retries there included."""
    if known is None:
        return Estimate(0.0, bound, bound)
    mean = known.cost / known.items
    if known.items < 2:
        return Estimate(0.0, mean, max(mean, bound))
    variance = max(0.0, (known.squares - known.items * mean * mean) / (known.items - 1))
    spread = student(known.items - 1) * sqrt(variance / known.items)
    return Estimate(max(0.0, mean - spread), mean, mean + spread)


def student(freedom: int) -> float:
    """Student's 97.5 % quantile, by its expansion about the normal one; exact for 1 to 3."""
    if freedom <= 3:
        return {1: 12.706, 2: 4.303, 3: 3.182}[freedom]
    first = (_Z**3 + _Z) / 4
    second = (5 * _Z**5 + 16 * _Z**3 + 3 * _Z) / 96
    return _Z + first / freedom + second / freedom**2


def repriced(
    steps: Iterable[Route], past: Mapping[str, CallHistory], policy: Policy, now: int
) -> dict[str, CallHistory]:
    """The ``past`` of the deployments of ``steps`` as if all calls had gone by the step's lane.

    What went by another one counts by how the most that this item can cost differs between the two
    (``now``, epoch microseconds). A lane that the policy prices no more counts as it was paid.
    """
    return {
        step.deployment: _as_by(step, past[step.deployment], policy, now)
        for step in steps
        if step.deployment in past
    }


def _as_by(step: Route, there: CallHistory, policy: Policy, now: int) -> CallHistory:
    if not there.lanes.keys() - {step.lane}:
        return there
    cost, squares = 0.0, 0.0
    for lane, costs in there.lanes.items():
        at_its_price = _bound(step, lane, policy, now)
        times = step.bound / at_its_price if at_its_price else 1.0
        cost += costs.cost * times
        squares += costs.squares * times * times
    return replace(there, cost=round(cost), squares=squares)


def _bound(step: Route, lane: Lane, policy: Policy, now: int) -> int | None:
    """The most that the call can cost by another lane; ``None`` where that has no price."""
    deployment = policy.deployments[step.deployment].by(lane)
    if deployment is None:
        return None
    try:
        rate = max_rate(deployment, utc(now).date())
    except Unpriced:
        return None
    return rate.bound(step.input_tokens, step.output_tokens)
