"""The report of an evaluation: a table for people, figures for scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tierqueue.operations.cli.output.printing import Column, dollars, echo, paragraph, table
from tierqueue.operations.cli.output.simulated import marked
from tierqueue.router.money import format_usd
from tierqueue.tasks.durations import duration
from tierqueue.tasks.plural import count

if TYPE_CHECKING:
    from tierqueue.tasks.evaluation.baselines import Baseline
    from tierqueue.tasks.evaluation.ways import Way
    from tierqueue.tasks.jobs.quote import Quote


def print_quotes(quotes: Mapping[str, Quote]) -> None:
    """What asking can cost, before anything is sent."""
    table(
        ["asked", "rows>", "at most>", "expected>", Column("where", rank=1)],
        [
            (
                name,
                f"{sum(part.rows for part in found.parts.values()):,}",
                format_usd(found.bound),
                "unknown" if found.expected is None else dollars(found.expected.value),
                ", ".join(sorted(found.parts)),
            )
            for name, found in quotes.items()
        ],
    )
    for name, found in quotes.items():
        for reason, refusal in sorted(found.refused.items()):
            echo(
                f"{name}: {count(refusal.rows, 'row')} {reason}, the first has index"
                f" {refusal.first}:"
            )
            paragraph("  ", refusal.why)
    whole = format_usd(sum(found.bound for found in quotes.values()))
    echo(f"at most {whole} for one call each, less what was answered before")


def quotes_as_dict(quotes: Mapping[str, Quote]) -> list[dict[str, Any]]:
    """The same for scripts."""
    return [
        {
            "way": name,
            "rows": sum(part.rows for part in found.parts.values()),
            "bound_nanousd": found.bound,
            "expected_nanousd": None if found.expected is None else round(found.expected.value),
            "deployments": sorted(found.parts),
            "refused": {reason: asdict(refusal) for reason, refusal in found.refused.items()},
        }
        for name, found in quotes.items()
    ]


def print_ways(ways: Sequence[Way], beside: Sequence[Baseline]) -> None:
    """How often each way is right, and what it takes."""
    table(
        [
            "way",
            "right>",
            Column("between", right=True, rank=2),
            "cost>",
            Column("tokens", right=True, rank=1),
            Column("median", right=True, rank=1),
            Column("95%", right=True, rank=3),
            Column("climbed", right=True, rank=1),
            Column("failed", right=True, rank=2),
        ],
        [*map(_of_way, ways), *map(_of_baseline, beside)],
    )
    for way in ways:
        if way.failed:
            why = ", ".join(f"{rows:,} {reason}" for reason, rows in sorted(way.failed.items()))
            echo(f"{way.name}: {why}; why: tierqueue job errors {way.job}")
    simulated = [way.name for way in ways if way.simulated]
    if simulated:
        echo(f"simulated answers are among those of: {', '.join(simulated)}")


def as_dict(ways: Sequence[Way], beside: Sequence[Baseline]) -> dict[str, Any]:
    """The same for scripts."""
    return {
        "ways": [_as_dict(way) for way in ways],
        "beside": [
            {"name": one.name, "right": round(one.right, 6), "cost_nanousd": round(one.cost)}
            for one in beside
        ],
    }


def _as_dict(way: Way) -> dict[str, Any]:
    seconds = way.seconds()
    return {
        "way": way.name,
        "job": way.job,
        "rows": len(way.rows),
        "right": round(way.right.value, 6),
        "right_low": round(way.right.low, 6),
        "right_high": round(way.right.high, 6),
        "accepted": way.accepted,
        "failed": way.failed,
        "cost_nanousd": way.cost,
        "tokens_per_accepted": None if way.tokens is None else round(way.tokens, 3),
        "seconds_median": None if seconds is None else round(seconds[0], 6),
        "seconds_95": None if seconds is None else round(seconds[1], 6),
        "escalated": round(way.escalated, 6),
        "simulated": way.simulated,
    }


def _of_way(way: Way) -> tuple[str, ...]:
    seconds = way.seconds()
    return (
        marked(way.name, way.simulated),
        f"{way.right.value:.1%}",
        f"{way.right.low:.1%} and {way.right.high:.1%}",
        format_usd(way.cost),
        "" if way.tokens is None else f"{way.tokens:,.0f}",
        "" if seconds is None else duration(seconds[0]),
        "" if seconds is None else duration(seconds[1]),
        f"{way.escalated:.0%}",
        f"{len(way.rows) - way.accepted:,}",
    )


def _of_baseline(one: Baseline) -> tuple[str, ...]:
    return (one.name, f"{one.right:.1%}", "", dollars(one.cost), *[""] * 5)
