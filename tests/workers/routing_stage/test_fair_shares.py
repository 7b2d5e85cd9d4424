"""Fair shares: by weight, whatever anybody's backlog is, and nothing is saved up."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from tierqueue.ledger.lifecycle.flows import Flow
from tierqueue.workers.routing_stage.fair_shares import FairShares


@dataclass(frozen=True)
class Item:
    flow: str


class Backlog:
    """Items by flow, each flow's budget named like it but for what stands behind a dot."""

    def __init__(self, **left: int) -> None:
        self.left = Counter({f"b{name}": count for name, count in left.items()})

    def flows(self) -> list[Flow]:
        return [
            Flow(name, name[1:].partition("_")[0], None, "t", "house")
            for name, count in self.left.items()
            if count
        ]

    def take(self, wanted: Mapping[str, int]) -> list[Item]:
        given = {name: min(count, self.left[name]) for name, count in wanted.items()}
        self.left -= Counter(given)
        return [Item(name) for name, count in given.items() for _ in range(count)]

    def served(self, shares: FairShares, most: int) -> list[str]:
        return [item.flow[1:] for item in shares.take("gpu", self.flows(), most, self.take)]


def test_one_with_a_large_backlog_starves_nobody() -> None:
    small = {f"small{number}": 10 for number in range(50)}
    served = Counter(Backlog(large=100_000, **small).served(FairShares({}), 600))
    assert all(served[name] == 10 for name in small)
    assert served["large"] == 100


def test_items_of_several_flows_go_in_turn() -> None:
    assert Backlog(x=9, y=9, z=9).served(FairShares({}), 6) == ["x", "y", "z", "x", "y", "z"]


def test_a_budget_of_twice_the_weight_gets_twice_as_much() -> None:
    served = Counter(Backlog(x=900, y=900).served(FairShares({"x": 2.0}), 300))
    assert served == {"x": 200, "y": 100}


def test_the_jobs_of_a_budget_share_what_it_gets() -> None:
    served = Counter(Backlog(x_1=900, x_2=900, y=900).served(FairShares({}), 400))
    assert served == {"x_1": 100, "x_2": 100, "y": 200}


def test_fewer_places_than_flows_go_round() -> None:
    shares, backlog = FairShares({}), Backlog(x=9, y=9, z=9)
    served = [name for _ in range(3) for name in backlog.served(shares, 1)]
    assert sorted(served) == ["x", "y", "z"]


def test_whoever_had_no_work_comes_back_as_an_equal_and_no_more() -> None:
    shares, backlog = FairShares({}), Backlog(x=10_000, y=1)
    for _ in range(10):
        backlog.served(shares, 100)
    backlog.left["by"] = 10_000
    served = Counter(backlog.served(shares, 100))
    assert served == {"x": 50, "y": 50}


def test_whoever_sends_one_at_a_time_gets_no_more_than_its_share() -> None:
    shares, backlog = FairShares({}), Backlog(x=10_000, y=10_000)
    served: Counter[str] = Counter()
    for _ in range(200):
        backlog.left["bz"] = 1
        served.update(backlog.served(shares, 2))
    assert abs(served["z"] - served["x"]) <= 3
    assert abs(served["y"] - served["x"]) <= 3


def test_places_that_nobody_has_work_for_stay_free() -> None:
    assert Backlog(x=3).served(FairShares({}), 10) == ["x", "x", "x"]
    assert Backlog().served(FairShares({}), 10) == []


@given(
    st.dictionaries(st.sampled_from("pqrst"), st.integers(1, 60), min_size=1),
    st.dictionaries(st.sampled_from("pqrst"), st.sampled_from([0.5, 1.0, 3.0])),
    st.lists(st.integers(1, 40), max_size=12),
)
def test_no_place_is_wasted_and_no_flow_with_work_falls_behind(
    backlogs: dict[str, int], weights: dict[str, float], looks: list[int]
) -> None:
    shares, backlog = FairShares(weights), Backlog(**backlogs)
    served: Counter[str] = Counter()
    for most in looks:
        left = sum(backlog.left.values())
        now = backlog.served(shares, most)
        # What several small flows leave is dealt again, but not without end.
        assert len(now) == min(most, left) or len(backlogs) > 3
        served.update(now)
        share = {name: served[name] / weights.get(name, 1.0) for name in backlogs}
        waiting = [share[flow.name[1:]] for flow in backlog.flows()]
        slack = 2 / min([1.0, *weights.values()])
        assert not waiting or max(share.values()) <= min(waiting) + slack
