"""What a ladder is held against: simpler ways, at what the ladder has cost."""

import pytest

from tierqueue.tasks.evaluation.baselines import Baseline, beside
from tierqueue.tasks.evaluation.ways import Row, Way


def way(name: str, cost: int, right: str) -> Way:
    """A way with a row a letter: ``r`` is right, anything else wrong."""
    rows = {
        number: Row(
            item=f"{name}-{number}",
            right=letter == "r",
            failed=None,
            cost=cost,
            tokens=10,
            seconds=1.0,
            climbed=False,
            simulated=False,
        )
        for number, letter in enumerate(right)
    }
    return Way(name, "job", rows)


def by_name(found: list[Baseline]) -> dict[str, Baseline]:
    return {one.name.partition(":")[0]: one for one in found}


CHEAP, BEST = way("gpu", 1, "rrww"), way("frontier", 11, "rrrw")
LENGTHS = {0: 1, 1: 2, 2: 9, 3: 3}


def test_the_ladder_stands_beside_simpler_ways_at_its_own_cost() -> None:
    ladder = way("ladder", 6, "rrrw")
    found = by_name(beside([CHEAP, BEST], ladder, LENGTHS, dict.fromkeys(range(4), "")))
    assert found["best single"] == Baseline("best single: frontier", 0.75, 44.0)
    assert found["random"].right == pytest.approx(0.625)
    assert found["random"].cost == pytest.approx(24.0)
    # 24 reaches for two of the best tier's rows: the longest, of which one is gained.
    assert found["length"] == Baseline("length", 0.75, 24.0)
    assert found["oracle"] == Baseline("oracle", 0.75, 14.0)
    assert "prior" not in found


def test_a_group_is_judged_by_the_rows_of_the_other_half() -> None:
    cheap, best = way("gpu", 1, "wwwwrrrr"), way("frontier", 11, "rrrrrrrr")
    groups = {number: "hard" if number < 4 else "easy" for number in range(8)}
    ladder = way("ladder", 6, "rrrrrrrr")
    found = by_name(beside([cheap, best], ladder, dict.fromkeys(range(8), 1), groups))
    assert found["prior"] == Baseline("prior", 1.0, 48.0)


def test_nothing_is_compared_where_one_tier_is_the_cheapest_and_the_best() -> None:
    only = [way("gpu", 1, "rw")]
    found = by_name(beside(only, way("ladder", 1, "rw"), {0: 1, 1: 1}, {0: "", 1: ""}))
    assert set(found) == {"best single", "oracle"}
    assert beside([], way("ladder", 1, "rw"), {}, {}) == []
