"""Fair shares: whose items go next where several budgets and jobs have work for one place.

Start-time fair queueing: each flow has a virtual time that an item moves on by the inverse of the
flow's weight, and the flow that is furthest behind goes next. A flow that comes anew, or comes
back, starts at the time of those that go on: nothing is saved up while it has no work.
"""

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from tierqueue.ledger.lifecycle.flows import Flow

ROUNDS = 4
"""Most times in one round that what small flows leave is dealt to the others."""

AHEAD = 3
"""Items that somebody waits for go ahead of one for which nobody does, where both have work."""


class FlowMember(Protocol):
    """What belongs to a flow."""

    @property
    def flow(self) -> str:
        """The flow's name."""


Flowing = TypeVar("Flowing", bound=FlowMember)

Take = Callable[[Mapping[str, int]], Sequence[Flowing]]
"""Gives at most so many items of each flow, by its name."""


class FairShares:
    """What one routing stage has dealt so far; several side by side are fair, each by itself.

    ``weights`` by budget; a budget that is not named weighs 1. The flows of one budget share
    equally what it gets.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._weights = weights
        self._times: dict[str, dict[str, float]] = {}
        self._clocks: dict[str, float] = {}

    def take(
        self, place: str, having: Sequence[Flow], most: int, take: "Take[Flowing]"
    ) -> list[Flowing]:
        """Up to ``most`` items of the flows ``having`` work for ``place``, in the order they go."""
        found: list[Flowing] = []
        flows = list(having)
        steps = self._steps(flows)
        for _ in range(ROUNDS):
            if most <= len(found) or not flows:
                break
            order = self._deal(place, [flow.name for flow in flows], most - len(found), steps)
            wanted = Counter(order)
            taken: dict[str, deque[Flowing]] = defaultdict(deque)
            for item in take(wanted):
                taken[item.flow].append(item)
            got = {name: len(items) for name, items in taken.items()}
            flows = [flow for flow in flows if got.get(flow.name, 0) == wanted[flow.name]]
            self._note(place, got, [flow.name for flow in flows], steps)
            found += [taken[name].popleft() for name in order if taken[name]]
        return found

    def _steps(self, flows: Sequence[Flow]) -> dict[str, float]:
        """How far an item moves its flow on."""
        beside = Counter(flow.budget for flow in flows)
        return {
            flow.name: beside[flow.budget] / self._weights.get(flow.budget or "", 1.0)
            for flow in flows
        }

    def _deal(
        self, place: str, names: Sequence[str], most: int, steps: Mapping[str, float]
    ) -> list[str]:
        """The names in the order in which their flows' next items go, ``most`` in all."""
        clock = self._clocks.setdefault(place, 0.0)
        times = {name: at for name, at in self._times.get(place, {}).items() if at > clock}
        self._times[place] = times
        if len(names) == 1:
            return [names[0]] * most
        heap = [(times.get(name, clock), name) for name in names]
        heapq.heapify(heap)
        order: list[str] = []
        while len(order) < most:
            at, name = heap[0]
            order.append(name)
            heapq.heapreplace(heap, (at + steps[name], name))
        return order

    def _note(
        self,
        place: str,
        got: Mapping[str, int],
        going_on: Sequence[str],
        steps: Mapping[str, float],
    ) -> None:
        times, clock = self._times[place], self._clocks[place]
        for name, count in got.items():
            times[name] = times.get(name, clock) + count * steps[name]
        behind = [times.get(name, clock) for name in going_on] or list(times.values())
        self._clocks[place] = max(clock, min(behind, default=clock))
