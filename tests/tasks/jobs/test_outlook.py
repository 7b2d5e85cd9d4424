"""The outlook of a job: what it will have cost, how fast it goes, and when it ends."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from tests.operations.cli.command import ONE_DEPLOYMENT
from tests.tasks.jobs.answered import answer
from tierqueue.ledger.accounting.spending import CallHistory
from tierqueue.ledger.operations.job_counts import TierCount
from tierqueue.ledger.operations.jobs import JobProgress
from tierqueue.ledger.session import Ledger
from tierqueue.router.policy.policy import parse_policy
from tierqueue.tasks import complete
from tierqueue.tasks.jobs.outlook import ENOUGH, outlook, outlook_of, time_of
from tierqueue.tasks.jobs.submission import Submission

NOW = 1_000_000_000


def _over_ten_seconds(ended: int) -> dict[int, int]:
    """As many in each of the last ten seconds."""
    if not ended:
        return {}
    return {NOW // 1_000_000 - 10 + n: ended // 10 for n in range(10)}


def _pace(
    tier: str | None, ended: int, left: int, cost: float = 100.0, *, on: bool = False
) -> TierCount:
    return TierCount(
        tier=tier,
        went_on=on,
        ended=ended,
        left=left,
        spent=ended * cost,
        squares=ended * cost * cost,
        size=ended * 10.0,
        size_squares=ended * 100.0,
        size_spent=ended * 10.0 * cost,
        size_left=left * 10.0,
        ends=_over_ten_seconds(ended),
    )


def _progress(total: int, submitted: int, spent: int = 0, reused: int = 0) -> JobProgress:
    return JobProgress(
        states={},
        dead={},
        spent=spent,
        booked=0,
        held=0,
        total=total,
        submitted=submitted,
        reused=reused,
        max_cost=None,
        complete=False,
        stopped=False,
        sampled=False,
        cancelled=False,
    )


def test_what_is_spent_counts_as_it_is_and_what_is_to_come_as_the_rows_so_far() -> None:
    found = outlook(_progress(1_000, 1_000, 10_000), [_pace("gpu", 100, 900)], NOW)
    assert found.expected is not None
    assert found.expected.value == 10_000 + 900 * 100
    assert found.expected.low <= found.expected.value <= found.expected.high
    assert (found.rate, found.seconds) == (10.0, 90.0)
    assert found.tiers["gpu"].left == 900
    assert found.tiers["gpu"].seconds == 90.0


def test_rows_not_submitted_yet_count_as_far_as_they_will_be_items_of_their_own() -> None:
    # Half of the rows that are there share another's item.
    paces = [_pace("gpu", 50, 50)]
    found = outlook(_progress(400, 200, 5_000, reused=100), paces, NOW)
    assert found.expected is not None
    assert found.expected.value == 5_000 + (50 + 100) * 100


def test_the_more_expensive_tier_of_rows_that_went_on_widens_the_range() -> None:
    same = outlook(_progress(1_000, 1_000), [_pace("gpu", 100, 900)], NOW)
    paces = [_pace("gpu", 95, 900), _pace("frontier", 5, 0, 5_000.0, on=True)]
    mixed = outlook(_progress(1_000, 1_000), paces, NOW)
    assert same.expected is not None
    assert mixed.expected is not None
    assert mixed.expected.high - mixed.expected.low > same.expected.high - same.expected.low
    assert mixed.expected.low < 900 * (0.95 * 100 + 0.05 * 5_000) < mixed.expected.high


def test_rows_that_are_shorter_than_those_that_ended_first_are_expected_to_cost_less() -> None:
    sizes, costs = range(100, 200), [50.0 + 2 * size for size in range(100, 200)]
    pace = TierCount(
        tier="gpu",
        went_on=False,
        ended=100,
        left=900,
        spent=sum(costs),
        squares=sum(cost * cost for cost in costs),
        size=float(sum(sizes)),
        size_squares=float(sum(size * size for size in sizes)),
        size_spent=sum(size * cost for size, cost in zip(sizes, costs, strict=True)),
        size_left=900 * 40.0,
        ends=_over_ten_seconds(100),
    )
    found = outlook(_progress(1_000, 1_000, 0), [pace], NOW).expected
    assert found is not None
    assert abs(found.value - 900 * (50 + 2 * 40)) < 1.0
    assert found.low < found.value < found.high


def test_of_few_items_nothing_is_told_and_of_none_no_time() -> None:
    few = outlook(_progress(100, 100), [_pace("gpu", ENOUGH - 1, 100)], NOW)
    assert few.expected is None
    none = outlook(_progress(100, 100), [_pace(None, 0, 100)], NOW)
    assert (none.rate, none.seconds, dict(none.tiers)) == (0.0, None, {})


def test_after_a_tenth_of_the_rows_the_final_cost_is_mostly_in_the_range() -> None:
    held = 0
    for seed in range(100):
        draw = random.Random(seed)
        went_on = [draw.random() < 0.1 for _ in range(2_000)]
        costs = [draw.uniform(50, 150) + (draw.uniform(800, 1_200) if on else 0) for on in went_on]
        paces = []
        for on in (False, True):
            ended = [cost for cost, its in zip(costs[:200], went_on, strict=False) if its is on]
            paces.append(
                TierCount(
                    tier="gpu",
                    went_on=on,
                    ended=len(ended),
                    left=0 if on else 1_800,
                    spent=sum(ended),
                    squares=sum(cost * cost for cost in ended),
                    size=0.0,
                    size_squares=0.0,
                    size_spent=0.0,
                    size_left=0.0,
                    ends=_over_ten_seconds(len(ended)),
                )
            )
        found = outlook(_progress(2_000, 2_000, round(sum(costs[:200]))), paces, NOW).expected
        assert found is not None
        held += found.low <= sum(costs) <= found.high
    assert held >= 95


def test_a_job_in_the_ledger_is_looked_at_with_its_own_items_alone(
    ledger: Ledger, tmp_path: Path
) -> None:
    path = tmp_path / "work.jsonl"
    path.write_text("".join(f'{{"prompt": "p{n % 30}"}}\n' for n in range(40)), "utf-8")
    done = Submission(complete, path, {}).submit(
        ledger, lambda: None, max_cost=9_000, progress=lambda *_: None
    )
    progress, before = outlook_of(ledger, done.id)
    assert (progress.total, progress.max_cost, before.expected) == (40, 9_000, None)
    answer(ledger, lambda said: {"text": "x"}, spent=200)
    progress, after = outlook_of(ledger, done.id)
    assert after.expected is not None
    assert (progress.over, after.expected.value, after.seconds) == (True, 6_000, 0.0)
    assert (after.tiers["gpu"].ended, after.tiers["gpu"].cost) == (30, 6_000)
    assert after.rate > 0


def test_neither_the_first_burst_nor_the_second_under_way_is_a_rate() -> None:
    second = NOW // 1_000_000
    ends = {second - 6: 640, **{second - n: 100 for n in range(1, 6)}, second: 7}
    burst = replace(_pace("gpu", 1_147, 1_000), ends=ends)
    found = outlook(_progress(2_147, 2_147), [burst], NOW)
    assert (found.rate, found.seconds) == (100.0, 10.0)


def test_of_a_job_that_has_just_begun_the_time_counts_in_which_its_calls_ran() -> None:
    young = replace(_pace("gpu", 100, 100), ends={NOW // 1_000_000: 100})
    found = outlook(_progress(200, 200), [young], NOW, NOW - 2_000_000)
    assert found.rate == 50.0


def _at(tier: str, ended: int, left: int, rate: int, *, on: bool = False) -> TierCount:
    """A tier in which so many end in each of the last ten seconds."""
    ends = {NOW // 1_000_000 - 10 + n: rate for n in range(10)}
    return replace(_pace(tier, ended, left, on=on), ends=ends)


def test_tiers_work_side_by_side_and_the_last_is_the_slowest() -> None:
    paces = [_at("gpu", 1_000, 1_000, 100), _at("frontier", 50, 50, 1)]
    found = outlook(_progress(2_100, 2_100), paces, NOW)
    assert (found.rate, found.seconds) == (101.0, 50.0)


def test_what_has_no_tier_yet_goes_where_the_others_went() -> None:
    paces = [_at("gpu", 900, 0, 100), _at("frontier", 100, 0, 2), _pace(None, 0, 500)]
    found = outlook(_progress(2_000, 1_500), paces, NOW)
    # Of 500 without a tier and 500 to be submitted a tenth goes to two a second.
    assert found.seconds == 50.0


def test_those_that_go_on_are_in_the_time_of_the_tier_they_go_to() -> None:
    paces = [_at("gpu", 900, 1_000, 100), _at("frontier", 100, 0, 1, on=True)]
    found = outlook(_progress(2_000, 2_000), paces, NOW)
    assert found.seconds == 100.0


def test_a_tier_that_ends_nothing_yet_has_no_time() -> None:
    paces = [_at("gpu", 1_000, 1_000, 100), _pace("frontier", 0, 50)]
    assert outlook(_progress(2_050, 2_050), paces, NOW).seconds is None


def test_the_time_holds_where_tiers_differ_in_pace_and_answers_are_refused() -> None:
    """A tenth of the way a simulated job says when its last row ends."""
    errors = []
    for seed in range(20):
        draw = random.Random(seed)
        rates = {"gpu": draw.choice([20, 60, 200]), "frontier": draw.choice([1, 3, 10])}
        refused, direct, rows = draw.choice([0.0, 0.1]), draw.choice([0.0, 0.05, 0.2]), 4_000
        waiting = {"gpu": 0, "frontier": 0}
        for _ in range(rows):
            waiting["frontier" if draw.random() < direct else "gpu"] += 1
        at_first, on_left = dict(waiting), 0
        ended: dict[tuple[str, bool], list[int]] = {}
        second, told, at = 0, None, 0
        while sum(waiting.values()) + on_left:
            second += 1
            for _ in range(min(rates["gpu"], waiting["gpu"])):
                waiting["gpu"] -= 1
                if draw.random() < refused:
                    on_left += 1
                else:
                    ended.setdefault(("gpu", False), []).append(second)
            for _ in range(rates["frontier"]):
                # Those that went on and those that were sent there at once take turns.
                on = on_left > 0 and (not waiting["frontier"] or draw.random() < 0.5)
                if on:
                    on_left -= 1
                elif waiting["frontier"]:
                    waiting["frontier"] -= 1
                else:
                    break
                ended.setdefault(("frontier", on), []).append(second)
            if told is None and sum(map(len, ended.values())) >= rows // 10 and second > 5:
                lefts = {
                    ("gpu", False): waiting["gpu"],
                    ("frontier", False): waiting["frontier"],
                    ("frontier", True): on_left,
                }
                paces = [
                    replace(
                        _pace(tier, len(ended.get((tier, on), [])), left, on=on),
                        ends={s: ended.get((tier, on), []).count(s) for s in range(1, second + 1)},
                    )
                    for (tier, on), left in lefts.items()
                    if left or ended.get((tier, on))
                ]
                told = outlook(_progress(rows, rows), paces, (second + 1) * 1_000_000).seconds
                at = second
        assert told is not None, (seed, rates, at_first)
        errors.append(abs(told - (second - at)) / (second - at))
    assert max(errors) < 0.35
    assert sum(errors) / len(errors) < 0.1


@pytest.mark.parametrize(
    ("scope", "limit", "seconds"),
    [
        ("best", {"input_tokens_per_minute": 1_000}, 54.0),
        ("best", {"output_tokens_per_minute": 100}, 60.0),
        ("budget:acme", {"output_tokens_per_minute": 50}, 60.0),
        ("budget:acme", {"tokens_per_minute": 10_000}, 10.0),
    ],
)
def test_rows_take_as_long_as_the_tightest_limit_of_input_and_of_output(
    scope: str, limit: dict[str, int], seconds: float
) -> None:
    policy = parse_policy(f"{ONE_DEPLOYMENT}[tiers.frontier]\nconcurrency = 1\n", "policy")
    past = CallHistory(
        items=10,
        accepted=10,
        rejected=0,
        cost=10,
        squares=10.0,
        seconds=1.0,
        tokens=100.0,
        output=10.0,
    )
    rows, paid = {"best": 10.0}, {("best", "acme"): 5.0}
    assert time_of(rows, policy, {"best": past}, {}, {scope: limit}, paid) == (seconds, "")
