"""Among what breaks no wall: in which order candidates are taken, and by what it was found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tierqueue.router.item import Tier
from tierqueue.router.money import NanoUSD
from tierqueue.router.policy.rates import MaxRate
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
    """What stands before an item that a tier is given: ``ahead`` items, ``calls`` at once."""

    ahead: int
    calls: int


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
    fitting: Sequence[Fit], known: ByDeployment, queues: Mapping[Tier, Queue], left: float
) -> tuple[list[Fit], dict[str, str]]:
    """Those whose answer is expected within ``left`` seconds, and of each other one why not.

    A queue is passed at the pace of this task type's calls. Where nobody is expected to answer in
    time, all are left: a late chance is better than none.
    """
    late: dict[str, str] = {}
    for fit in fitting:
        seen = known.get(fit.name)
        if seen is None or not seen.enough or fit.in_batch:
            continue
        queue = queues.get(fit.candidate.tier, _EMPTY)
        needed = seen.mean_seconds * (1 + queue.ahead / max(1, queue.calls))
        if needed > left:
            late[fit.name] = (
                f"with {queue.ahead} items ahead its answer is expected in {needed:.0f} s, and "
                f"{max(0.0, left):.0f} s are left"
            )
    within = [fit for fit in fitting if fit.name not in late]
    return (within, late) if within else (list(fitting), {})


def by_expected_cost(fitting: Sequence[Fit], signals: Signals, known: ByDeployment) -> list[Fit]:
    """The cheapest for each accepted answer first, with what follows a refused one.

    A refused answer goes on to the cheapest above its tier. A tier whose answers are refused too
    often for its price is so left out by itself.
    """
    weighed: list[Fit] = []
    for fit in sorted(fitting, key=lambda fit: -fit.rank):
        candidate = fit.candidate
        call = 0
        if not candidate.by_the_hour and isinstance(candidate.price, MaxRate):
            most_output = signals.output_tokens_bound + candidate.reasoning
            most_input = signals.input_tokens(fit.name)
            call = expected_call(fit.name, candidate.price, most_input, most_output, known)
        above = [other.costs_more for other in weighed if other.rank > fit.rank]
        refused = refusal_chance(known.get(fit.name))
        whole = per_accepted(call, refused, min(above, default=None))
        weighed.append(fit._replace(costs_more=NanoUSD(whole)))
    return sorted(weighed)
