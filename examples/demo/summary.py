"""The summary of a demo's run: read from the ledger, printed as a table or as JSON."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tierqueue.ledger.lifecycle import items
from tierqueue.ledger.records import Attempt
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.whole_item import WholeItem
from tierqueue.router.item import TIERS, Tier
from tierqueue.router.lifecycle import ENDS, State
from tierqueue.router.money import format_usd
from tierqueue.router.outcome import Usage
from tierqueue.router.policy.policy import Policy
from tierqueue.router.pricing import charge

NO_TIER = "never routed"


@dataclass(slots=True)
class Line:
    """One deployment's share; tokens over all calls, money in nano-dollars.

    ``on_frontier`` is what the calls that ended its items would have cost there. ``right`` of its
    ``judged`` answers are the true label, where the sample knows one.
    """

    tier: str = ""
    simulated: bool = False
    right: int = 0
    judged: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    input_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0
    on_frontier: int = 0


@dataclass(frozen=True, slots=True)
class Case:
    """Something the sample is there to show, and whether it went as it should."""

    name: str
    ended: str
    as_intended: bool


class Summary:
    """The summary of these items: every attempt of theirs is read once."""

    def __init__(
        self,
        ledger: Ledger,
        policy: Policy,
        item_ids: Iterable[str],
        cases: Sequence[Case],
        true_labels: Mapping[str, str],
    ) -> None:
        self.cases = cases
        self._true_labels = true_labels
        self.lines: dict[str, Line] = {}
        self.dead: Counter[str] = Counter()
        self.unended = 0
        self._policy = policy
        with ledger.read() as connection:
            for item_id in item_ids:
                row = items.get(connection, item_id)
                if row is not None:
                    self._count(row, items.history(connection, item_id))

    @property
    def as_intended(self) -> bool:
        """Whether every item reached an end and every case went as it should."""
        return not self.unended and all(case.as_intended for case in self.cases)

    def _count(self, item: WholeItem, history: Sequence[Attempt]) -> None:
        line = self._line(item.deployment or NO_TIER)
        line.ends[item.state] += 1
        if item.state not in ENDS:
            self.unended += 1
        if item.state == State.DEAD:
            self.dead[str(item.reason)] += 1
        if item.state == State.SUCCEEDED and (label := self._true_labels.get(item.id)):
            line.judged += 1
            line.right += item.output is not None and item.output["label"] == label
        for attempt in history:
            # An escalated item cost something at each deployment that it passed.
            passed = self._line(attempt.deployment)
            passed.cost += attempt.cost or 0
            if attempt.usage is not None:
                usage = Usage(**attempt.usage)
                passed.input_tokens += usage.total_input
                passed.output_tokens += usage.output_tokens
            passed.simulated = passed.simulated or bool(attempt.simulated)
        if history and (last := history[-1].usage) is not None:
            line.on_frontier += self._on_frontier(Usage(**last))

    def _line(self, name: str) -> Line:
        if name not in self.lines:
            deployment = self._policy.deployments.get(name)
            self.lines[name] = (
                Line()
                if deployment is None
                else Line(tier=deployment.tier.value, simulated=deployment.simulated)
            )
        return self.lines[name]

    def _on_frontier(self, usage: Usage) -> int:
        """The same tokens at the cheapest frontier deployment's prices."""
        now = datetime.now(UTC)
        costs = [
            charge(deployment, usage, now).cost
            for deployment in self._policy.deployments.values()
            if deployment.tier is Tier.FRONTIER
        ]
        return min(costs, default=0)

    def to_json(self) -> dict[str, Any]:
        """Everything, money in nano-dollars."""
        cost, on_frontier, simulated = self._totals()
        return {
            "items": sum(line.ends.total() for line in self.lines.values()),
            "unended": self.unended,
            "deployments": {
                name: {
                    "tier": line.tier,
                    "simulated": line.simulated,
                    "ends": dict(line.ends),
                    "input_tokens": line.input_tokens,
                    "output_tokens": line.output_tokens,
                    "cost_nanousd": line.cost,
                    "right": line.right,
                    "judged": line.judged,
                }
                for name, line in self.lines.items()
            },
            "dead_letters": dict(self.dead),
            "cost_nanousd": cost,
            "all_on_frontier_nanousd": on_frontier,
            "savings_nanousd": on_frontier - cost,
            "savings_simulated": simulated,
            "cases": [
                {"case": case.name, "ended": case.ended, "as_intended": case.as_intended}
                for case in self.cases
            ],
            "as_intended": self.as_intended,
        }

    def show(self, console: Console) -> None:
        """Tables for people."""
        shown = Table(
            title="Items by the deployment that ended them",
            title_justify="left",
            box=SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
        )
        columns = ("tier", "deployment", "", "succeeded", "dead", "tokens", "cost")
        for name in columns:
            shown.add_column(name, justify="left" if name in columns[:3] else "right")
        order = [tier.value for tier in TIERS] + [""]
        for name, line in sorted(self.lines.items(), key=lambda line: order.index(line[1].tier)):
            kind = "" if name == NO_TIER else "simulated" if line.simulated else "real"
            shown.add_row(
                line.tier,
                name,
                kind,
                str(line.ends[State.SUCCEEDED] or ""),
                str(line.ends[State.DEAD] or ""),
                f"{line.input_tokens + line.output_tokens:,}",
                format_usd(line.cost),
            )
        console.print(shown)
        if self.dead:
            said = ", ".join(f"{reason} {count}" for reason, count in sorted(self.dead.items()))
            console.print(f"Dead letters: {said}")
        cost, on_frontier, simulated = self._totals()
        word = "simulated savings" if simulated else "savings"
        console.print(
            f"Cost {format_usd(cost)}; everything on frontier: {format_usd(on_frontier)};"
            f" {word}: {format_usd(on_frontier - cost)}"
        )
        for name, line in self.lines.items():
            if line.judged and not line.simulated:
                console.print(
                    f"{name}, a real model: {line.right} of the {line.judged} labels taken from"
                    " it are right; what it was not sure of went a tier up."
                )
        if simulated:
            console.print(
                "What is marked simulated was answered by the sandbox: its prices are invented, and"
                " its answers say nothing."
            )
        for case in self.cases:
            mark = "as intended" if case.as_intended else "NOT AS INTENDED"
            console.print(f"  {mark}: {case.name}: {case.ended}", highlight=False)
        if self.unended:
            console.print(f"{self.unended} items have not reached an end.", style="bold red")

    def _totals(self) -> tuple[int, int, bool]:
        lines = self.lines.values()
        return (
            sum(line.cost for line in lines),
            sum(line.on_frontier for line in lines),
            any(line.simulated for line in lines),
        )
