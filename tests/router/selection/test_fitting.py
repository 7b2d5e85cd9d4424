"""The order among what fits: by what an accepted answer is expected to cost, walls first."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.router.choose.test_choose import _broken, items, signal_values, specs
from tests.router.specs import FRONTIER, GPU, OPEN, Spec, a_spec, an_item, policy_of, policy_text
from tierqueue.router.choose import Conditions, choose
from tierqueue.router.item import TIERS, Latency, Sensitivity, WorkItem
from tierqueue.router.policy.policy import parse_policy
from tierqueue.router.route import Choice, Route
from tierqueue.router.selection.evidence import Evidence, probes
from tierqueue.router.selection.fitting import Queue
from tierqueue.router.signals import Signals

SIGNALS = Signals(1000, 100)
CHEAP, BEST = a_spec("cheap", OPEN), a_spec("best", FRONTIER, price=("4", "8"))
PROBING = next(f"i-{number}" for number in range(1_000) if probes(f"i-{number}"))


def answered(accepted: int, of: int, *, taken: int = 500, given: int = 50) -> Evidence:
    """So many accepted of so many answers, each of a second and of so many tokens."""
    return Evidence(of, accepted, taken * of, given * of, float(of))


def route_to(decision: Choice) -> Route:
    assert isinstance(decision, Route)
    return decision


def known(**seen: Evidence) -> Conditions:
    return Conditions(0, evidence={"t": seen})


def test_a_tier_whose_answers_are_refused_too_often_for_its_price_is_left_out() -> None:
    # It costs a quarter: what is accepted less often than that does not pay.
    policy = policy_of([CHEAP, BEST])
    for accepted, expected in ((90, "cheap"), (40, "cheap"), (5, "best")):
        conditions = known(cheap=answered(accepted, 100), best=answered(98, 100))
        assert route_to(choose(an_item(), SIGNALS, policy, conditions)).deployment == expected


def test_why_it_was_left_out_is_said_with_what_was_seen() -> None:
    conditions = known(cheap=answered(5, 100), best=answered(98, 100))
    route = route_to(choose(an_item(), SIGNALS, policy_of([CHEAP, BEST]), conditions))
    [refusal] = route.refusals
    assert (refusal.deployment, refusal.rule) == ("cheap", "more_expensive")
    assert "(5 of its 100 answers were accepted)" in refusal.why
    assert any("expected for an accepted answer, by 200 so far" in why for why in route.reasons)


def test_with_few_answers_the_bounds_alone_decide() -> None:
    conditions = known(cheap=answered(0, 29))
    route = choose(an_item(), SIGNALS, policy_of([CHEAP, BEST]), conditions)
    assert route == choose(an_item(), SIGNALS, policy_of([CHEAP, BEST]), Conditions(0))


def test_bad_luck_with_few_answers_moves_nothing() -> None:
    # A quarter would pay: 5 of 30 may still be one.
    conditions = known(cheap=answered(5, 30), best=answered(30, 30))
    route = choose(an_item(), SIGNALS, policy_of([CHEAP, BEST]), conditions)
    assert route_to(route).deployment == "cheap"


def test_the_evidence_of_another_task_type_says_nothing_of_this_one() -> None:
    conditions = Conditions(0, evidence={"another": {"cheap": answered(0, 1_000)}})
    route = choose(an_item(), SIGNALS, policy_of([CHEAP, BEST]), conditions)
    assert route_to(route).deployment == "cheap"


def test_expected_tokens_and_not_the_most_possible_ones_make_the_price() -> None:
    # By the most an answer may take, `terse` is cheaper; by what answers take, `wordy` is.
    policy = policy_of([a_spec("terse", price=("4", "1")), a_spec("wordy", price=("1", "4"))])
    signals = Signals(1_000, 2_000)
    assert route_to(choose(an_item(), signals, policy, Conditions(0))).deployment == "terse"
    seen = known(terse=answered(100, 100, taken=1_000, given=20))
    assert route_to(choose(an_item(), signals, policy, seen)).deployment == "wordy"


def test_some_items_still_go_by_the_bounds_so_that_what_was_left_out_is_seen_again() -> None:
    conditions = known(cheap=answered(0, 500), best=answered(500, 500))
    route = route_to(choose(an_item(id=PROBING), SIGNALS, policy_of([CHEAP, BEST]), conditions))
    assert route.deployment == "cheap"
    assert any("to see how it does" in reason for reason in route.reasons)
    share = sum(probes(f"item {number}") for number in range(20_000)) / 20_000
    assert 0.015 < share < 0.025


def test_what_evidence_advises_and_is_unavailable_leaves_the_bounds_to_decide() -> None:
    seen = {"t": {"cheap": answered(0, 500), "best": answered(500, 500)}}
    conditions = Conditions(0, {"best": "outage"}, seen)
    route = route_to(choose(an_item(), SIGNALS, policy_of([CHEAP, BEST]), conditions))
    assert (route.deployment, route.waits_for) == ("cheap", None)


def test_a_queue_longer_than_the_deadline_sends_an_item_where_it_is_answered_in_time() -> None:
    hourly = policy_text([a_spec("house", price=None), a_spec("api", OPEN, price=("1", "2"))])
    where = "[deployments.house]\n"
    policy = parse_policy(hourly.replace(where, f'{where}gpu_hour = "2"\n'), "t")
    item = an_item()
    soon = replace(item, demands=replace(item.demands, deadline=10_000_000))
    for ahead, expected in ((50, "house"), (500, "api")):
        conditions = Conditions(
            0, evidence={"t": {"house": answered(100, 100)}}, queues={GPU: Queue(ahead, 10)}
        )
        route = route_to(choose(soon, SIGNALS, policy, conditions))
        assert route.deployment == expected
        assert [refusal.rule for refusal in route.refusals] == [
            "more_expensive" if expected == "house" else "deadline"
        ]
        assert route_to(choose(item, SIGNALS, policy, conditions)).deployment == "house"


HYBRID = """
[tiers.gpu]
interactive_within = 5
"""


def hybrid(item: WorkItem, queue: Queue, seconds: float = 1.0) -> Route:
    """Where an item goes that the team's own engine or a more expensive API could answer."""
    api = a_spec("api", OPEN, price=("1", "2"), boundary="vendor:acme")
    text = policy_text([a_spec("house", price=None), api])
    where = "[deployments.house]\n"
    policy = parse_policy(text.replace(where, f'{where}gpu_hour = "2"\n') + HYBRID, "t")
    seen = replace(answered(100, 100), seconds=100 * seconds)
    conditions = Conditions(0, evidence={"t": {"house": seen}}, queues={GPU: queue})
    return route_to(choose(item, SIGNALS, policy, conditions))


def waited_for(**changes: Any) -> WorkItem:
    item = an_item()
    return replace(item, demands=replace(item.demands, latency=Latency.INTERACTIVE, **changes))


def test_what_somebody_waits_for_goes_to_the_next_tier_where_the_engine_is_overloaded() -> None:
    for queue, expected in ((Queue(500, 10, 30), "house"), (Queue(500, 10, 60), "api")):
        route = hybrid(waited_for(), queue)
        assert route.deployment == expected
    [refusal] = route.refusals
    assert (refusal.deployment, refusal.rule) == ("house", "latency")
    assert refusal.why == (
        "with 60 items ahead its answer is expected in 7 s, "
        "and somebody waits, for whom it is to take 5 s"
    )


def test_what_nobody_waits_for_stays_with_an_overloaded_engine() -> None:
    assert hybrid(an_item(), Queue(500, 10, 60)).deployment == "house"
    assert hybrid(an_item(), Queue(0, 10, ready=False)).deployment == "house"


def test_what_somebody_waits_for_does_not_count_those_it_overtakes_as_ahead_of_it() -> None:
    soon = waited_for(deadline=10_000_000)
    assert hybrid(soon, Queue(100_000, 10, 0)).deployment == "house"


def test_what_somebody_waits_for_waits_where_no_other_tier_may_have_it() -> None:
    cold = Queue(0, 10, ready=False)
    assert hybrid(waited_for(), cold).deployment == "api"
    assert hybrid(waited_for(sensitivity=Sensitivity.REGULATED), cold).deployment == "house"


def test_where_nobody_would_answer_in_time_the_cheapest_tries_all_the_same() -> None:
    item = an_item()
    soon = replace(item, demands=replace(item.demands, deadline=1))
    conditions = known(cheap=answered(50, 50), best=answered(50, 50))
    route = route_to(choose(soon, SIGNALS, policy_of([CHEAP, BEST]), conditions))
    assert route.deployment == "cheap"


evidence = st.builds(
    lambda of, share, tokens, seconds: Evidence(
        of, round(of * share), of * tokens, of * tokens, of * seconds
    ),
    st.integers(0, 3_000),
    st.floats(0, 1),
    st.integers(0, 5_000),
    st.floats(0, 100),
)


@pytest.mark.long
@settings(deadline=None, max_examples=300)
@given(
    specs,
    items,
    signal_values,
    st.dictionaries(st.sampled_from(["d0", "d1", "d2", "gone"]), evidence),
    st.one_of(st.none(), st.integers(0, 10**9)),
    st.sets(st.sampled_from(["d0", "d1"])),
)
def test_no_evidence_takes_an_item_through_a_wall_and_it_finds_a_way_where_there_is_one(
    specs: list[Spec],
    item: WorkItem,
    signals: Signals,
    seen: dict[str, Evidence],
    deadline: int | None,
    away: set[str],
) -> None:
    item = replace(item, demands=replace(item.demands, deadline=deadline))
    policy = policy_of(specs)
    conditions = Conditions(
        0, dict.fromkeys(away, "outage"), {"t": seen}, {GPU: Queue(100, 3), OPEN: Queue(0, 0)}
    )
    decision = choose(item, signals, policy, conditions)
    without = choose(item, signals, policy, Conditions(0))
    assert type(decision) is type(without)
    assert decision == choose(item, signals, policy, conditions) or not isinstance(decision, Route)
    if isinstance(decision, Route):
        taken = next(spec for spec in specs if spec["name"] == decision.deployment)
        assert _broken(taken, item, signals) == set()
        assert item.demands.floor is not None
        assert TIERS.index(decision.tier) >= TIERS.index(item.demands.floor)
        assert all(TIERS.index(decision.tier) > TIERS.index(low) for low in item.refused_by)
        told = {refusal.deployment for refusal in decision.refusals}
        assert told == {spec["name"] for spec in specs} - {decision.deployment}
