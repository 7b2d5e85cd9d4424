"""The checker's excuse for calls at once after the broker forgot them: as wide as the promise."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.checker.limits import limits_kept
from bench.checker.run import Violations, open_run

LEASE_SECONDS = 3.0
POLICY = """
[deployments.d]
model = "m"
limits = { in_flight = 2 }
"""
FLUSHED = 100.0

Span = tuple[float, float]


def broken(folder: Path, spans: Sequence[Span], *, lost: Sequence[int] = ()) -> int:
    """How often I6 is broken by calls over these seconds; ``lost``: whose workers were lost."""
    (folder / "policy.toml").write_text(POLICY, encoding="utf-8")
    fault = {"kind": "flushall", "at": FLUSHED}
    (folder / "faults.jsonl").write_text(json.dumps(fault) + "\n", encoding="utf-8")
    calls = [
        {"item": f"i{number}", "fence": "1", "model": "m", "started": started, "ended": ended}
        for number, (started, ended) in enumerate(spans)
    ]
    lines = "".join(json.dumps(call) + "\n" for call in calls)
    (folder / "sandbox.jsonl").write_text(lines, encoding="utf-8")
    run = open_run(folder, None)
    for number in lost:
        run.attempts[f"i{number}"] = [{"fence": 1, "outcome": "unknown"}]
    found = Violations(run)
    limits_kept(run, found, LEASE_SECONDS)
    return len(found.by_invariant["I6"])


OLD = [(99.0, 102.5), (99.0, 102.5)]
"""As many as may be, in flight when the broker forgets them."""


def test_within_the_limit_nothing_is_broken(tmp_path: Path) -> None:
    assert broken(tmp_path, OLD) == 0
    assert broken(tmp_path, [(90.0, 91.0), (90.0, 91.0), (90.5, 91.0)]) == 1


def test_while_a_call_is_claimed_nothing_is_granted_on_top_of_what_was_forgotten(
    tmp_path: Path,
) -> None:
    assert broken(tmp_path, [*OLD, (101.0, 102.0)]) == 1


def test_what_was_granted_and_not_claimed_comes_on_top_where_nothing_was_claimed(
    tmp_path: Path,
) -> None:
    granted, after = [(100.1, 102.0)] * 2, [(100.5, 102.0)] * 2
    assert broken(tmp_path, granted + after) == 0
    # Only as many as the limit had ever granted.
    assert broken(tmp_path, [*granted, *after, (100.6, 102.0)]) == 1


@pytest.mark.parametrize(("started", "count"), [(101.9, 0), (102.1, 1)])
def test_a_call_is_of_before_only_if_it_left_in_time(
    tmp_path: Path, started: float, count: int
) -> None:
    spans = [(102.05, 102.9), (102.05, 102.9), (started, 102.9)]
    assert broken(tmp_path, spans) == count


def test_what_a_lost_worker_had_open_comes_on_top(tmp_path: Path) -> None:
    spans = [*OLD, (101.0, 102.0)]
    assert broken(tmp_path, spans, lost=[0]) == 0
    assert broken(tmp_path, [*spans, (101.1, 102.0), (101.2, 102.0)], lost=[0]) == 2


def test_a_lease_later_all_are_known_again(tmp_path: Path) -> None:
    assert broken(tmp_path, [(103.1, 104.0)] * 3) == 1
