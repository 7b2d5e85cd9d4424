"""An operator's action in words: the detail of an entry of the audit log."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from tierqueue.operations.cli.output.printing import moment, record
from tierqueue.router.money import format_usd

_MONEY = ("max_cost", "moved")
_TIMES = ("since", "before", "ended_at", "due")


def in_words(detail: Mapping[str, Any]) -> str:
    """What an action was done to, for people: money in dollars, a few of many ids."""
    return ", ".join(f"{name} {_value(name, value)}" for name, value in _named(detail))


def for_scripts(detail: Mapping[str, Any]) -> dict[str, Any]:
    """The same for scripts, each figure with its unit."""
    told = record(dict(_named(detail)), money=_MONEY, times=("due",))
    if "deaths" in told:
        told["deaths"] = [record(death, times=_TIMES) for death in told["deaths"]]
    if "filters" in told:
        told["filters"] = record(told["filters"], times=_TIMES)
    return told


def _named(detail: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    from tierqueue.router.policy.deployment import whose

    for name, value in detail.items():
        if name == "deployment" and isinstance(value, str):
            # Written so before accounts and budgets had a word of their own: `budget:acme`.
            yield whose(value)
        else:
            yield name, value


def _value(name: str, value: Any) -> str:
    if name == "deaths":
        reasons = Counter(death["reason"] for death in value)
        return ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items()))
    if isinstance(value, Mapping):
        return in_words(value)
    if name in _TIMES and isinstance(value, int):
        return moment(value)
    if name in _MONEY and isinstance(value, int):
        return format_usd(value)
    if isinstance(value, list):
        first = ", ".join(str(part) for part in value[:3])
        return first if len(value) <= 3 else f"{first} and {len(value) - 3:,} more"
    return str(value)
