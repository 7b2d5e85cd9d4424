"""Among what breaks no wall: in which order candidates are taken, and by what it was found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tierqueue.router.item import Tier
from tierqueue.router.money import NanoUSD
from tierqueue.router.policy.prices import MaxRate
from tierqueue.router.selection.candidate import Candidate
from tierqueue.router.selection.evidence import (
    ENOUGH,
    ByDeployment,
    expected_call,
    per_accepted,
    refusal_chance,
)
from tierqueue.router.signals import Signals


@dataclass(frozen=True, slots=True)
class Queue:
    """What stands before an item that a tier is given: ``ahead`` items, ``calls`` at once.

    ``urgent``: how many of those somebody waits for, who goes before all others. ``ready``: whether
    a worker of the tier is there that has loaded what it serves.
    """

    ahead: int
    calls: int
    urgent: int = 0
    ready: bool = True


_EMPTY = Queue(0, 1)


class Fit(NamedTuple):
    """A candidate that breaks no wall; the least of them is taken. Money in nano-dollars.

    ``costs_more``: what one more item costs there, at the most or, where the answers so far say so,
    in the end and by expectation.
    """

    costs_more: NanoUSD
    rank: int
    name: str
    bound: NanoUSD
    candidate: Candidate

    @property
    def in_batch(self) -> bool:
        """Whether it is priced for a batch, which has a deadline of its own."""
        return self.candidate.price is self.candidate.in_batch


def enough(known: ByDeployment) -> bool:
    """Whether a task type has answers enough that something is concluded from them."""
    return bool(known) and sum(one.answers for one in known.values()) >= ENOUGH


def in_time(
    fitting: Sequence[Fit],
    known: ByDeployment,
    queues: Mapping[Tier, Queue],
    left: float,
    *,
    urgent: bool,
) -> tuple[list[Fit], dict[str, str]]:
    """Those whose answer is expected within ``left`` seconds, and of each other one why not.

    A queue is passed at the pace of this task type's calls; what is ``urgent`` passes by those for
    which nobody waits. Where nobody is expected to answer in time, all are left: a late chance is
    better than none.
    """
    late: dict[str, str] = {}
    for fit in fitting:
        expected = _expected(fit, known, queues, urgent=urgent)
        if expected is not None and expected.seconds > left and not fit.in_batch:
            late[fit.name] = f"{expected}, and {max(0.0, left):.0f} s are left"
    return _without(fitting, late)


def soon(
    fitting: Sequence[Fit],
    known: ByDeployment,
    queues: Mapping[Tier, Queue],
    within: Mapping[Tier, float],
) -> tuple[list[Fit], dict[str, str]]:
    """Those that answer somebody who waits as soon as the policy says, and of others why not.

    ``within``: the seconds it says, by tier. A tier of which no worker is ready is not soon. Where
    nobody is, all are left: the item waits for the cheapest.
    """
    late: dict[str, str] = {}
    for fit in fitting:
        tier = fit.candidate.tier
        if (most := within.get(tier)) is None:
            continue
        expected = _expected(fit, known, queues, urgent=True)
        if not queues.get(tier, _EMPTY).ready:
            late[fit.name] = f"no worker of {tier} is ready, and somebody waits for the answer"
        elif expected is not None and expected.seconds > most:
            late[fit.name] = f"{expected}, and somebody waits, for whom it is to take {most:g} s"
    return _without(fitting, late)


class _ExpectedAnswer(NamedTuple):
    """When an answer is expected, and how many items are ahead of it."""

    seconds: float
    ahead: int

    def __str__(self) -> str:
        return f"with {self.ahead} items ahead its answer is expected in {self.seconds:.0f} s"


def _expected(
    fit: Fit, known: ByDeployment, queues: Mapping[Tier, Queue], *, urgent: bool
) -> _ExpectedAnswer | None:
    seen = known.get(fit.name)
    if seen is None or not seen.enough:
        return None
    queue = queues.get(fit.candidate.tier, _EMPTY)
    ahead = queue.urgent if urgent else queue.ahead
    return _ExpectedAnswer(seen.mean_seconds * (1 + ahead / max(1, queue.calls)), ahead)


def _without(fitting: Sequence[Fit], late: dict[str, str]) -> tuple[list[Fit], dict[str, str]]:
    within = [fit for fit in fitting if fit.name not in late]
    return (within, late) if within else (list(fitting), {})


def by_expected_cost(fitting: Sequence[Fit], signals: Signals, known: ByDeployment) -> list[Fit]:
    """The cheapest for each accepted answer first, with what follows a refused one.

    A refused answer goes on to the cheapest above its tier. A tier whose answers are refused too
    often for its price is so left out by itself. Where a predictor was asked, an answer that it
    takes for wrong costs what the policy says a mistake costs; where that says nothing, it is
    expected to be refused.
    """
    weighed: list[Fit] = []
    beyond: list[tuple[int, int]] = []
    predicted = signals.predicted
    for fit in sorted(fitting, key=lambda fit: -fit.rank):
        candidate = fit.candidate
        call = 0
        if not candidate.by_the_hour and isinstance(candidate.price, MaxRate):
            most_output = signals.output_tokens_bound + candidate.reasoning_tokens
            most_input = signals.input_tokens(fit.name)
            call = expected_call(fit.name, candidate.price, most_input, most_output, known)
        refused = refusal_chance(known.get(fit.name))
        above = min((other for rank, other in beyond if rank > fit.rank), default=None)
        mistake = 0
        again = refused
        if predicted is not None and predicted.mistake is not None:
            mistake = round((1 - predicted.chance(fit.rank)) * predicted.mistake)
        elif predicted is not None:
            again = max(refused, 1 - predicted.after(fit.rank))
            refused = max(refused, 1 - predicted.chance(fit.rank))
        # What follows an answer of a tier below is a call for an item that was too hard for it.
        beyond.append((fit.rank, per_accepted(call, again, above)))
        whole = per_accepted(call, refused, above) + mistake
        weighed.append(fit._replace(costs_more=NanoUSD(whole)))
    return sorted(weighed)
