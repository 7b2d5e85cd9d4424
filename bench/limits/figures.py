"""Figures of one case of limits, by the sandbox's own log."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.limits.cases import Case, in_force

Line = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Epoch seconds: what is measured lies between ``begin`` and ``end``, whole windows apart.

    ``lowered``: when the limits of some were; ``down`` and ``up``: the outage.
    """

    window: float
    begin: float
    end: float
    lowered: float
    down: float
    up: float


def figures(case: Case, lines: Iterable[Line], times: Times) -> dict[str, float]:
    """Of a case whose provider is up."""
    mine = [line for line in lines if line["model"] == case.model]
    within = [line for line in mine if times.begin <= line["started"] < times.end]
    refused = [line for line in within if line["fault"] == "limit"]
    windows = {math.floor((line["started"] - times.begin) / times.window) for line in refused}
    served = [line for line in within if line["fault"] != "limit"]
    return {
        "achieved_share": round(_share(case, served, times), 4),
        "over_limit_windows": len(windows),
        "provider_429s": len(refused),
        "calls": len(within),
    }


def _share(case: Case, served: Sequence[Line], times: Times) -> float:
    """The mean over all windows of the limit's length that the time holds, wherever they begin, of
    what was served in it, as a share of the limit in force; none has two limits.

    What is served comes in bursts, a window apart: of windows that begin at fixed moments one more
    or less would be counted by chance.
    """
    turn = min(times.lowered, times.end) if case.lowered else times.end
    used = windows = 0.0
    for begin, end, lowered in ((times.begin, turn, False), (turn, times.end, True)):
        if (long := end - begin - times.window) <= 0:
            continue
        windows += long
        # So many seconds' worth of windows hold a call: those that end after it, and soon enough.
        used += sum(
            _amount(case, line)
            * max(
                0.0,
                min(line["started"] + times.window, end)
                - max(line["started"], begin + times.window),
            )
            for line in served
            if begin <= line["started"] < end
        ) / in_force(case, lowered=lowered)
    return used / windows


def of_outage(case: Case, lines: Iterable[Line], times: Times, needed: int) -> dict[str, float]:
    """Of the case whose provider was down: until it serves again, and what was called for it."""
    mine = [line for line in lines if line["model"] == case.model]
    meanwhile = [line for line in mine if times.down <= line["started"] < times.up]
    served = [line for line in mine if line["status"] == 200]
    again = min((line["ended"] for line in served if line["started"] >= times.up), default=math.inf)
    others = len(mine) - len(meanwhile)
    return {
        "recovery_s": round(again - times.up, 2),
        "outage_s": round(times.up - times.down, 1),
        "calls_during_outage": len(meanwhile),
        "calls_per_needed": round(others / max(1, needed), 3),
    }


def worst(told: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """The worst of the cases; refusals apart where nobody tells of a limit before it holds."""
    limits = {name: case for name, case in told.items() if "achieved_share" in case}
    found = {name: case for name, case in limits.items() if name.endswith("-found")}
    unannounced = {name: case for name, case in limits.items() if name == "lowered-told"}
    known = [case for name, case in limits.items() if name not in {**found, **unannounced}]
    figures: dict[str, Any] = {}
    if limits:
        figures["achieved_share"] = min(case["achieved_share"] for case in limits.values())
    if known:
        figures["over_limit_windows"] = max(case["over_limit_windows"] for case in known)
        figures["provider_429s"] = max(case["provider_429s"] for case in known)
    if unannounced:
        figures["unannounced_429s"] = max(case["provider_429s"] for case in unannounced.values())
    if found:
        figures["found_429s"] = max(case["provider_429s"] for case in found.values())
        figures["found_calls"] = sum(case["calls"] for case in found.values())
    return {**figures, **told.get("outage", {})}


def _amount(case: Case, line: Line) -> int:
    if case.of == "requests":
        return 1
    return int(line["input_tokens"]) + int(line["output_tokens"])
