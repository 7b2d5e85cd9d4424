"""What a whole file will cost, told from a sample: the range holds what it costs in the end."""

import random

from tierqueue.tasks.jobs.sampled_cost import Stratum, whole

ROWS, SAMPLE = 2_000, 50


def _file(draw: random.Random) -> tuple[list[int], list[float], list[float]]:
    """Simulated: the lengths of a file's rows, what each costs first, and what more if refused."""
    refused, factor = draw.choice([0.01, 0.02, 0.05, 0.1, 0.3]), draw.choice([5, 15, 40])
    spread = draw.choice([0.3, 0.8, 1.3])
    lengths = [int(draw.lognormvariate(5, spread)) + 1 for _ in range(ROWS)]
    first = [(length / 4 + 100) * 0.3 + draw.randint(20, 60) * 1.5 for length in lengths]
    more = [
        cost * factor * draw.uniform(0.5, 1) if draw.random() < refused else 0.0 for cost in first
    ]
    return lengths, first, more


def test_of_a_hundred_files_the_range_of_a_sample_holds_the_cost_of_95() -> None:
    held = 0
    for seed in range(100):
        draw = random.Random(seed)
        lengths, first, more = _file(draw)
        layers: dict[int, list[int]] = {}
        for number, length in enumerate(lengths):
            layers.setdefault(min(length.bit_length(), 9), []).append(number)
        strata, seen_more = [], []
        for numbers in layers.values():
            drawn = draw.sample(numbers, min(len(numbers), max(2, SAMPLE * len(numbers) // ROWS)))
            strata.append(Stratum(len(numbers), [first[number] for number in drawn]))
            seen_more += [more[number] for number in drawn if more[number]]
        found = whole(strata, seen_more, max(first) * 40)
        held += found.low <= sum(first) + sum(more) <= found.high
    assert held >= 95


def test_of_every_row_the_cost_is_known() -> None:
    found = whole([Stratum(3, [1.0, 2.0, 3.0])], [10.0])
    assert (found.low, found.value, found.high) == (16.0, 16.0, 16.0)


def test_that_none_was_refused_leaves_the_price_of_a_refusal_in_the_range() -> None:
    found = whole([Stratum(1_000, [1.0] * 50)], [], 100.0)
    assert (found.low, found.value) == (1_000.0, 1_000.0)
    assert found.high > 1_000 + 1_000 * 0.02 * 100


def test_rows_of_a_kind_that_was_not_drawn_cost_as_the_others_do() -> None:
    assert whole([Stratum(10, [2.0, 2.0]), Stratum(10, [])], []).value == 40.0
    assert whole([Stratum(10, [])], []).value == 0.0
