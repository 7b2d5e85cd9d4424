"""The faults file: seeded, deterministic by ordinal, strict about what it says."""

import statistics
from pathlib import Path
from typing import Any

import openai
import pytest

from sandbox.failing.plan import read_plan

PLAN = """\
seed = 7

[[fault]]
model = "open-*"
kind = "429"
probability = 0.2
after = 1

[[fault]]
model = "open-small"
kind = "overage"
probability = 0.1
factor = 2

[[output]]
model = "frontier-*"
low = 100
high = 1000

[[limit]]
model = "house-*"
concurrent = 2
rpm = 1
"""


@pytest.fixture
def plan_file(tmp_path: Path) -> Path:
    path = tmp_path / "faults.toml"
    path.write_text(PLAN, encoding="utf-8")
    return path


def test_the_same_seed_draws_the_same_faults_at_their_stated_rates(plan_file: Path) -> None:
    one, other = read_plan(plan_file), read_plan(plan_file)
    drawn = [one.fault("open-small", n) for n in range(4000)]
    assert drawn == [other.fault("open-small", n) for n in range(4000)]
    kinds = [found.kind if found else None for found in drawn]
    assert 0.17 < kinds.count("429") / 4000 < 0.23
    assert 0.06 < kinds.count("overage") / 4000 < 0.10
    assert not any(one.fault("frontier-large", n) for n in range(100))


def test_another_seed_draws_other_faults(plan_file: Path) -> None:
    before = read_plan(plan_file)
    plan_file.write_text(PLAN.replace("seed = 7", "seed = 8"), encoding="utf-8")
    after = read_plan(plan_file)
    ordinals = range(200)
    assert [before.fault("open-small", n) for n in ordinals] != [
        after.fault("open-small", n) for n in ordinals
    ]


def test_output_tokens_spread_over_the_whole_range(plan_file: Path) -> None:
    plan = read_plan(plan_file)
    drawn = [plan.output_tokens("frontier-large", n) or 0 for n in range(2000)]
    assert min(drawn) >= 100
    assert max(drawn) <= 1000
    tenths = statistics.quantiles(drawn, n=20)
    assert tenths[-1] / tenths[0] > 7
    assert plan.output_tokens("open-small", 1) is None


def test_the_provider_plays_the_file(start: Any, plan_file: Path) -> None:
    provider = start("--faults", str(plan_file))
    plan = read_plan(plan_file)
    expected = [plan.fault("open-small", n) for n in range(1, 31)]
    for n, found in enumerate(expected):
        if found is not None and found.kind == "429":
            with pytest.raises(openai.RateLimitError) as raised:
                provider.ask_openai(f"call {n}", max_tokens=100)
            assert raised.value.response.headers["retry-after"] == "1"
        else:
            assert provider.ask_openai(f"call {n}", max_tokens=100).status_code == 200
    assert [line["fault"] for line in provider.lines()] == [
        found.kind if found else None for found in expected
    ]
    overage = [line["output_tokens"] for line in provider.lines() if line["fault"] == "overage"]
    assert set(overage) == {200}


def test_drawn_output_is_billed_as_reasoning_and_kept_under_the_limit(
    start: Any, plan_file: Path
) -> None:
    provider = start("--faults", str(plan_file))
    usages = [
        provider.ask_openai("hello", model="frontier-mini", max_tokens=300).parse().usage
        for _ in range(12)
    ]
    assert len({usage.completion_tokens for usage in usages}) > 3
    for usage in usages:
        assert 100 <= usage.completion_tokens <= 300
        assert 0 < usage.completion_tokens_details.reasoning_tokens < usage.completion_tokens


def test_limits_in_the_file_hold_for_their_models_only(start: Any, plan_file: Path) -> None:
    provider = start("--faults", str(plan_file))
    provider.ask_openai("hello", model="house-tiny")
    with pytest.raises(openai.RateLimitError):
        provider.ask_openai("hello", model="house-tiny")
    for _ in range(3):
        provider.ask_openai("hello", model="frontier-mini")


@pytest.mark.parametrize(
    "text",
    [
        "sede = 7",
        '[[fault]]\nmodel = "*"\nkind = "500"\nprobability = 0.1',
        'seed = 1\n[[fault]]\nmodel = "*"\nkind = "505"\nprobability = 0.1',
        'seed = 1\n[[fault]]\nmodel = "*"\nkind = "500"\nprobability = 1.1',
        'seed = 1\n[[fault]]\nmodel = "*"\nkind = "500"\nprobability = 0.1\nafter = 1',
        'seed = 1\n[[fault]]\nkind = "500"\nprobability = 0.1',
        'seed = 1\n[[output]]\nmodel = "*"\nlow = 10\nhigh = 9',
        '[[limit]]\nmodel = "*"\nrpm = 0',
        '[[limit]]\nmodel = "*"\nrps = 1',
        "not toml",
    ],
)
def test_a_file_that_is_not_understood_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "faults.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError):  # noqa: PT011 - each text has its own complaint
        read_plan(path)
