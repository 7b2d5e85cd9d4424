"""The report of a quote: a table for people, figures for scripts."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tierqueue.operations.cli.output.outlay import money, outlay_dict, outlay_lines
from tierqueue.operations.cli.output.printing import (
    Column,
    dollars,
    echo,
    paragraph,
    record,
    table,
)
from tierqueue.operations.cli.output.simulated import AMONG, marked
from tierqueue.router.money import format_usd
from tierqueue.tasks.durations import duration
from tierqueue.tasks.plural import count

if TYPE_CHECKING:
    from tierqueue.ledger.accounting.spending import CallHistory
    from tierqueue.operations.cli.money.long_rows import LongRows
    from tierqueue.router.money import NanoUSD
    from tierqueue.router.policy.policy import Policy
    from tierqueue.tasks.jobs.expectation import Estimate
    from tierqueue.tasks.jobs.quote import Quote, QuotePart


_LANES = {"live": "", "batch": ", in batches", "flex": ", by flex"}


def as_dict(found: Quote, limit: NanoUSD | None, long: LongRows, policy: Policy) -> dict[str, Any]:
    """A quote for scripts; money in nano-dollars. ``limit``: what ``--max-cost`` says."""
    return {
        "rows": found.rows,
        "answered_without_a_call": found.answered,
        "bound_nanousd": found.bound,
        "simulated": any(part.simulated for part in found.parts.values()),
        **money(found.expected),
        "ceilings_count": policy.ceilings_count,
        **outlay_dict(found.outlay),
        "learned_from_items": found.learned_from,
        "max_cost_nanousd": limit,
        "enough": enough(found, limit),
        "seconds": found.seconds,
        "parts": [
            {
                "tier": part.tier.value,
                "deployment": part.deployment,
                "simulated": part.simulated,
                "lane": part.lane.value,
                **({} if found.in_pieces else {"rows": part.rows}),
                "calls": part.rows if part.calls else 0,
                "counted": part.counted,
                "bound_nanousd": part.bound,
                **money(part.expected),
                **outlay_dict(part.outlay),
                "past": None if part.past is None else _past(part.past),
            }
            for part in found.parts.values()
        ],
        "refused": {reason: asdict(refusal) for reason, refusal in found.refused.items()},
        "in_pieces": {
            "long_rows": long.rows,
            "cheaper_rows": long.cheaper,
            "whole_nanousd": long.whole,
            "bound_nanousd": long.pieces,
            "only_rows": long.only,
            "only_bound_nanousd": long.alone,
            "split_rows": found.in_pieces,
            "calls": found.calls,
        },
    }


def _past(past: CallHistory) -> dict[str, Any]:
    told = record(asdict(past), money=("cost",))
    return {name: value for name, value in told.items() if name not in ("squares", "lanes")}


def _engine(part: QuotePart) -> str:
    hours = None if part.outlay is None else part.outlay.hours.value
    return duration(hours * 3_600) if hours else ""


def _learned_from(part: QuotePart) -> str:
    if not part.calls:
        return ""
    return "nothing" if part.past is None else count(part.past.items, "item")


def print_quote(found: Quote, policy: Policy) -> None:
    """A quote for people: a line a deployment, what is refused, the bound, what is expected."""
    whole = found.calls + found.answered if found.in_pieces else found.rows
    table(
        [
            Column("tier", rank=3),
            *("deployment", "calls>" if found.in_pieces else "rows>"),
            Column("share", right=True, rank=4),
            *("at most>", "expected>"),
            Column("between", rank=2),
            Column("engine", right=True, rank=5),
            Column("from", rank=1),
        ],
        [
            (
                part.tier.value,
                marked(part.deployment + _LANES[part.lane], part.simulated),
                f"{part.rows:,}",
                f"{part.rows / whole:.0%}",
                format_usd(part.bound),
                "unknown" if part.expected is None else dollars(part.expected.value),
                "" if part.expected is None else _range(part.expected),
                _engine(part),
                _learned_from(part),
            )
            for part in found.parts.values()
        ],
        empty="no row would go anywhere",
    )
    for reason, dead in sorted(found.refused.items()):
        echo(f"refused: {count(dead.rows, 'row')} {reason}, the first has index {dead.first}:")
        paragraph("  ", dead.why)
    rows = count(found.rows, "row")
    if found.in_pieces:
        rows = f"{rows}, {found.in_pieces:,} of them in pieces, {count(found.calls, 'call')}"
    if found.answered:
        rows = f"{rows}, {found.answered:,} of them answered without a call"
    mark = AMONG if any(part.simulated for part in found.parts.values()) else ""
    echo(f"{rows}: at most {format_usd(found.bound)} for one call each{mark}")
    if found.expected is not None:
        paragraph(
            "",
            f"expected: {dollars(found.expected.value)} with retries and escalations, between"
            f" {_range(found.expected)} (95%){mark}, from {count(found.learned_from, 'item')}",
        )
        for line in [] if found.outlay is None else outlay_lines(found.outlay, policy):
            paragraph("", line)
    else:
        unknown = [part.deployment for part in found.parts.values() if part.expected is None]
        echo(f"expected: unknown, no item of this task type has ended on {', '.join(unknown)}")
    if found.seconds is None:
        echo(f"time: unknown, {found.untimed}")
    else:
        echo(f"time: about {duration(found.seconds)} once it begins")


def _range(expected: Estimate) -> str:
    return f"{dollars(expected.low)} and {dollars(expected.high)}"


def enough(found: Quote, limit: NanoUSD | None) -> bool | None:
    """Whether ``limit`` covers what is expected, else one call a row; ``None`` where unknown."""
    if limit is None:
        return None
    if found.expected is not None:
        return found.expected.value <= limit
    return True if found.bound <= limit else None


def judged(found: Quote, limit: NanoUSD) -> str:
    """What becomes of the job under this ceiling."""
    stated, dies = f"--max-cost {format_usd(limit)}", "rows that it cannot pay die of cost_ceiling"
    match enough(found, limit):
        case True if found.expected is not None and found.expected.high <= limit:
            return f"{stated} is above all of that range"
        case True if found.expected is not None:
            return f"{stated} covers what is expected, and not all of its range: {dies}"
        case True:
            return f"{stated} covers one call for each row, and nothing is known of retries: {dies}"
        case False:
            return f"{stated} is less than what is expected: {dies}"
        case _:
            return f"{stated} is less than one call for each row can cost: {dies}"
