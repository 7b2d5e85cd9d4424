"""The outlay of work, in the same words everywhere: money that leaves, engines' hours."""

from typing import TYPE_CHECKING, Any

from tierqueue.operations.cli.output.printing import dollars
from tierqueue.tasks.durations import duration

if TYPE_CHECKING:
    from tierqueue.router.policy.policy import Policy
    from tierqueue.tasks.jobs.expectation import Estimate, Outlay

_NAMES = (("expected", "value"), ("low", "low"), ("high", "high"))


def money(found: "Estimate | None") -> dict[str, int | None]:
    """An expected amount for scripts, in nano-dollars."""
    return {
        f"{name}_nanousd": None if found is None else round(getattr(found, field))
        for name, field in _NAMES
    }


def outlay_dict(found: "Outlay | None") -> dict[str, Any]:
    """An outlay for scripts: `cash`, and of `engines` the hours and what they cost."""
    hours = {
        f"{name}_hours": None if found is None else getattr(found.hours, field)
        for name, field in _NAMES
    }
    return {
        "cash": money(None if found is None else found.cash),
        "engines": {**hours, **money(None if found is None else found.engines)},
    }


def outlay_lines(found: "Outlay", policy: "Policy") -> list[str]:
    """An outlay for people, a line each; of engines and of what ceilings count where it matters."""
    lines = [f"leaves the account: {within(found.cash)} (95%)"]
    if not found.engines.high:
        return lines
    least, most = (duration(hours * 3_600) for hours in (found.hours.low, found.hours.high))
    lines.append(
        f"your own engines: {duration(found.hours.value * 3_600)} of their time, between {least}"
        f" and {most}, which is {dollars(found.engines.value)} of what they cost by the hour anyway"
    )
    counted = "both" if policy.ceilings_count == "everything" else "what leaves the account alone"
    return [*lines, f"ceilings count {counted} (ceilings_count = {policy.ceilings_count!r})"]


def within(found: "Estimate") -> str:
    """An amount with its range."""
    return f"{dollars(found.value)}, between {dollars(found.low)} and {dollars(found.high)}"
