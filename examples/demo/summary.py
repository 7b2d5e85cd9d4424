"""What a run of the demo came to: read from the ledger, told as a table or as JSON."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from tierqueue.ledger.lifecycle import items
from tierqueue.ledger.session import Ledger
from tierqueue.router.item import TIERS, Tier
from tierqueue.router.lifecycle import ENDS, State
from tierqueue.router.money import format_usd
from tierqueue.router.outcome import Usage
from tierqueue.router.policy.policy import Policy
from tierqueue.router.pricing import charge

NO_TIER = "never routed"


@dataclass(slots=True)
class Line:
    """One tier's share; tokens over all calls, money in nano-dollars.

    ``on_frontier`` is what the calls that ended its items would have cost there.
    """

    simulated: bool = False
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
        self, ledger: Ledger, policy: Policy, item_ids: Iterable[str], cases: Sequence[Case]
    ) -> None:
        self.cases = cases
        self.lines: dict[str, Line] = {}
        self.dead: Counter[str] = Counter()
        self.unended = 0
        self._policy = policy
        with ledger.read() as connection:
            for item_id in item_ids:
                row = items.get(connection, item_id)
                if row is not None:
                    self._count(
                        dict(row), [dict(attempt) for attempt in items.history(connection, item_id)]
                    )

    @property
    def as_intended(self) -> bool:
        """Whether every item reached an end and every case went as it should."""
        return not self.unended and all(case.as_intended for case in self.cases)

    def _count(self, row: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> None:
        tier = row["tier"] or NO_TIER
        line = self.lines.setdefault(tier, Line())
        line.ends[row["state"]] += 1
        if row["state"] not in ENDS:
            self.unended += 1
        if row["state"] == State.DEAD:
            self.dead[row["reason"]] += 1
        for attempt in history:
            # An escalated item cost something on each tier that it passed.
            passed = self.lines.setdefault(attempt["tier"], Line())
            passed.cost += attempt["cost"] or 0
            if attempt["usage"] is not None:
                usage = Usage(**attempt["usage"])
                passed.input_tokens += usage.total_input
                passed.output_tokens += usage.output_tokens
            deployment = self._policy.deployments[attempt["deployment"]]
            passed.simulated = passed.simulated or bool(
                attempt["simulated"] or deployment.simulated
            )
        if history and history[-1]["usage"] is not None:
            line.on_frontier += self._on_frontier(Usage(**history[-1]["usage"]))

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
            "tiers": {
                name: {
                    "simulated": line.simulated,
                    "ends": dict(line.ends),
                    "input_tokens": line.input_tokens,
                    "output_tokens": line.output_tokens,
                    "cost_nanousd": line.cost,
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
        shown = Table(title="Items by the tier that ended them", title_justify="left")
        for name in ("tier", "", *ENDS_SHOWN, "tokens in", "tokens out", "cost"):
            shown.add_column(name, justify="left" if name in {"tier", ""} else "right")
        order = [tier.value for tier in TIERS] + [NO_TIER]
        for name, line in sorted(self.lines.items(), key=lambda line: order.index(line[0])):
            kind = "" if name == NO_TIER else "simulated" if line.simulated else "real"
            shown.add_row(
                name,
                kind,
                *(str(line.ends[end] or "") for end in ENDS_SHOWN),
                f"{line.input_tokens:,}",
                f"{line.output_tokens:,}",
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
        if simulated:
            console.print(
                "The tiers marked simulated were answered by the sandbox: its prices are invented,"
                " and nothing here says how good an answer is."
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


ENDS_SHOWN = tuple(state.value for state in (State.SUCCEEDED, State.DEAD, State.CANCELLED))
