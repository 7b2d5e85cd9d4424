"""What the bench of limits reads out of the sandbox's log, and that it can fail."""

from typing import Any

import pytest

from bench.limits.cases import cases
from bench.limits.figures import Times, figures, of_outage, worst

CASES = {case.name: case for case in cases(requests=10, tokens=1_000)}
TIMES = Times(window=10.0, begin=100.0, end=200.0, lowered=150.0, down=110.0, up=190.0)


def line(name: str, started: float, **more: Any) -> dict[str, Any]:
    model = CASES[name].model
    usage = {"input_tokens": 40, "output_tokens": 60}
    told = {"model": model, "started": started, "ended": started + 0.2, "status": 200}
    return {**told, "fault": None, **usage, **more}


def test_a_limit_that_is_used_up_has_a_share_of_one_and_what_lies_outside_counts_nothing() -> None:
    lines = [line("requests-stated", 90.0 + at) for at in range(120)]
    told = figures(CASES["requests-stated"], lines, TIMES)
    assert (told["achieved_share"], told["provider_429s"]) == (1.0, 0)
    half = figures(CASES["requests-stated"], lines[::2], TIMES)
    assert half["achieved_share"] == 0.5


@pytest.mark.parametrize("first", [100.0, 103.0, 109.9])
def test_bursts_count_by_how_far_apart_they_are_wherever_the_first_one_falls(first: float) -> None:
    bursts = [first + 10.5 * burst for burst in range(10)]
    lines = [line("requests-stated", at) for at in bursts for _ in range(10)]
    told = figures(CASES["requests-stated"], lines, TIMES)
    assert told["achieved_share"] == pytest.approx(10 / 10.5, abs=0.01)


def test_tokens_are_counted_as_tokens() -> None:
    lines = [line("tokens-stated", 100.0 + at) for at in range(100)]
    assert figures(CASES["tokens-stated"], lines, TIMES)["achieved_share"] == 1.0


def test_after_a_limit_was_lowered_half_is_all_there_is() -> None:
    lines = [line("lowered-told", 100.0 + at) for at in range(50)]
    lines += [line("lowered-told", 150.0 + at) for at in range(0, 50, 2)]
    assert figures(CASES["lowered-told"], lines, TIMES)["achieved_share"] == 1.0


def test_refused_calls_are_counted_and_use_nothing_up() -> None:
    refused = [line("requests-told", 101.0 + at, status=429, fault="limit") for at in (0, 1, 50)]
    told = figures(CASES["requests-told"], refused, TIMES)
    assert (told["achieved_share"], told["provider_429s"], told["over_limit_windows"]) == (0, 3, 2)


def test_of_an_outage_the_time_to_the_first_answer_and_the_calls_are_told() -> None:
    lines = [line("outage", 101.0)]
    lines += [line("outage", 111.0 + at, status=503, fault="503") for at in range(5)]
    lines += [line("outage", 192.0 + at) for at in range(9)]
    told = of_outage(CASES["outage"], lines, TIMES, needed=10)
    assert (told["recovery_s"], told["calls_during_outage"]) == (2.2, 5)
    assert told["calls_per_needed"] == 1.0


def test_refusals_of_a_limit_that_nobody_told_of_stand_apart() -> None:
    told = {
        name: {"achieved_share": 0.9, "over_limit_windows": count, "provider_429s": count}
        | {"calls": 10}
        for count, name in enumerate(("requests-stated", "lowered-told", "requests-found"))
    }
    line = worst(told)
    assert (line["over_limit_windows"], line["provider_429s"]) == (0, 0)
    assert (line["unannounced_429s"], line["found_429s"]) == (1, 2)
