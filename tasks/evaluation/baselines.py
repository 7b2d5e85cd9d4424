"""Baselines of a ladder: simpler ways to share the work out, at what the ladder has cost."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tierqueue.tasks.evaluation.ways import Row, Way


@dataclass(frozen=True, slots=True)
class Baseline:
    """A simpler way: the share of rows that it answers rightly, and its cost in nano-dollars."""

    name: str
    right: float
    cost: float


def beside(
    tiers: Sequence[Way],
    ladder: Way,
    lengths: Mapping[int, int],
    groups: Mapping[int, str],
) -> list[Baseline]:
    """Baselines from what each tier alone has answered, for the rows that all of them have.

    ``best single`` is the tier that is right most often, the cheaper of two. ``oracle`` knows of
    each row which is the cheapest tier that is right. The others share the rows out between the
    cheapest tier and the best one, and spend at most what the ladder has spent: ``random`` at
    random, ``length`` the longest (by ``lengths``) to the best, and ``prior`` those of the
    ``groups`` first in which the best tier is right more often; a row's group is judged by the
    rows of the other half.
    """
    numbers = sorted(set(ladder.rows).intersection(*(way.rows for way in tiers)))
    if not tiers or not numbers:
        return []
    cheap = min(tiers, key=lambda way: _cost(way, numbers))
    best = min(tiers, key=lambda way: (-_right(way, numbers), _cost(way, numbers)))
    found = [Baseline(f"best single: {best.name}", _right(best, numbers), _cost(best, numbers))]
    if best is not cheap:
        spent = _cost(ladder, numbers)
        gain = _gains(cheap, best, numbers, groups)
        found.append(_at_random(cheap, best, numbers, spent))
        found.append(_in_order("length", cheap, best, numbers, spent, lambda n: lengths[n]))
        if len(set(groups.values())) > 1:
            found.append(_in_order("prior", cheap, best, numbers, spent, lambda n: gain[n]))
    oracle = [_cheapest_right(tiers, cheap, number) for number in numbers]
    right = sum(row.right for row in oracle) / len(numbers)
    found.append(Baseline("oracle", right, float(sum(row.cost for row in oracle))))
    return found


def _right(way: Way, numbers: Sequence[int]) -> float:
    return sum(way.rows[number].right for number in numbers) / len(numbers)


def _cost(way: Way, numbers: Sequence[int]) -> float:
    return float(sum(way.rows[number].cost for number in numbers))


def _at_random(cheap: Way, best: Way, numbers: Sequence[int], spent: float) -> Baseline:
    low, high = _cost(cheap, numbers), _cost(best, numbers)
    part = min(1.0, max(0.0, (spent - low) / (high - low))) if high > low else 1.0
    right = (1 - part) * _right(cheap, numbers) + part * _right(best, numbers)
    return Baseline("random", right, (1 - part) * low + part * high)


def _in_order(
    name: str,
    cheap: Way,
    best: Way,
    numbers: Sequence[int],
    spent: float,
    first: Callable[[int], float],
) -> Baseline:
    """The rows with the highest figure go to the best tier, as far as the money reaches."""
    cost = _cost(cheap, numbers)
    right = sum(cheap.rows[number].right for number in numbers)
    for number in sorted(numbers, key=lambda n: (-first(n), n)):
        below, above = cheap.rows[number], best.rows[number]
        if cost + above.cost - below.cost > spent:
            break
        cost += above.cost - below.cost
        right += above.right - below.right
    return Baseline(name, right / len(numbers), cost)


def _gains(
    cheap: Way, best: Way, numbers: Sequence[int], groups: Mapping[int, str]
) -> dict[int, float]:
    """By row how much more often the best tier is right in its group, in the other half's rows."""
    seen: dict[tuple[int, str], list[int]] = {}
    for place, number in enumerate(numbers):
        gained = best.rows[number].right - cheap.rows[number].right
        seen.setdefault((place % 2, groups[number]), []).append(gained)
    gains: dict[int, float] = {}
    for place, number in enumerate(numbers):
        others = seen.get((1 - place % 2, groups[number]), [])
        gains[number] = sum(others) / len(others) if others else 0.0
    return gains


def _cheapest_right(tiers: Sequence[Way], cheap: Way, number: int) -> Row:
    rows = [way.rows[number] for way in tiers]
    return min(
        (row for row in rows if row.right), key=lambda row: row.cost, default=cheap.rows[number]
    )
