"""The bench of the batch lane: what it calls broken, and what it counts as paid twice."""

from collections import Counter
from typing import Any

import pytest

from bench.batch_lane.bills import billed
from bench.batch_lane.judged import complaints, summary

GOOD: dict[str, Any] = {
    "cost_ratio": 0.51,
    "deadline_misses": 0,
    "paid_twice": 0,
    "kills": 9,
    "discrepancies": 0,
}


def test_the_line_has_the_worst_of_all_runs() -> None:
    line = summary([GOOD, {**GOOD, "cost_ratio": 0.55, "deadline_misses": 2, "kills": 4}], 5_000)
    assert (line["cost_ratio"], line["deadline_misses"], line["kills"]) == (0.55, 2, 4)
    assert complaints(line, 5_000) == []


@pytest.mark.parametrize(
    ("figure", "value"),
    [
        ("cost_ratio", 0.61),
        ("deadline_misses", 6),
        ("paid_twice", 1),
        ("discrepancies", 1),
        ("kills", 0),
    ],
)
def test_each_promise_that_is_broken_is_said(figure: str, value: float) -> None:
    assert len(complaints(summary([{**GOOD, figure: value}], 5_000), 5_000)) == 1


def test_an_item_is_billed_once_a_line_whatever_lane_it_came_by() -> None:
    lines = [
        {"item": "a", "batch": False, "cost_nanousd": 7},
        {"item": "a-3", "batch": True, "cost_nanousd": 4},
        {"item": "b-1", "batch": True, "cost_nanousd": 4},
        {"item": "c-1", "batch": True, "cost_nanousd": 0},
    ]
    assert billed(lines) == Counter({"a": 2, "b": 1})
