"""The routing decision, held against an oracle that knows nothing of its code."""

from dataclasses import replace
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.drawing import examples
from tests.router.specs import FRONTIER, GPU, OPEN, Spec, a_spec, an_item, policy_of, policy_text
from tierqueue.router.choose import Conditions, choose
from tierqueue.router.errors import CostCeilingExceeded, NoRoute, Unpriced
from tierqueue.router.item import TIERS, Sensitivity, Tier, WorkItem
from tierqueue.router.money import NanoUSD
from tierqueue.router.policy.policy import Policy, parse_policy
from tierqueue.router.route import Route
from tierqueue.router.signals import Signals


def _bound(spec: Spec, signals: Signals) -> int:
    rates = [Fraction(rate) for rate in spec["price"]]
    output: int = signals.output_tokens_bound + spec["reasoning"]
    return ceil(1000 * (signals.input_tokens_bound * rates[0] + output * rates[1]))


def _broken(spec: Spec, item: WorkItem, signals: Signals) -> set[str]:
    """Every rule that ``spec`` breaks for ``item``: the oracle."""
    demands, order = item.demands, ["gpu", "open_weight", "frontier"]
    tokens = signals.input_tokens_bound + signals.output_tokens_bound + spec["reasoning"]
    rules = set()
    if demands.sensitivity in ("confidential", "regulated") and spec["boundary"] != "house":
        rules.add("boundary")
    if tokens > spec["window"]:
        rules.add("context_window")
    if (minute := spec["per_minute"]) is not None:
        half, tenth = minute // 2, minute // 10
        if tokens > half or tokens > spec["window"]:
            rules |= set() if tokens <= tenth else {"token_limit"}
    at = order.index(spec["tier"])
    if at < order.index(str(demands.floor)):
        rules.add("floor")
    if any(at <= order.index(tier) for tier in item.refused_by):
        rules.add("floor")
    if spec["price"] is None:
        rules.add("unpriced")
    elif demands.max_cost is not None and _bound(spec, signals) + item.spent > demands.max_cost:
        rules.add("max_cost")
    return rules


dollars = st.decimals(min_value=0, max_value=20, places=2).map(str)
spec_fields = st.fixed_dictionaries(
    {
        "tier": st.sampled_from([tier.value for tier in TIERS]),
        "boundary": st.sampled_from(["house", "vendor:a", "vendor:b"]),
        "window": st.sampled_from([1_000, 8_000, 100_000]),
        "price": st.one_of(st.none(), st.tuples(dollars, dollars), st.just(("1", "1"))),
        "per_minute": st.sampled_from([None, None, 2_000, 60_000, 1_000_000]),
        "reasoning": st.sampled_from([0, 0, 500, 5_000]),
    }
)
specs = st.lists(spec_fields, max_size=6).map(
    lambda fields: [field | {"name": f"d{number}"} for number, field in enumerate(fields)]
)
items = st.builds(
    an_item,
    sensitivity=st.sampled_from(Sensitivity),
    floor=st.sampled_from(TIERS),
    max_cost=st.one_of(st.none(), st.integers(0, 200_000_000)),
    refused_by=st.lists(st.sampled_from(TIERS), max_size=1).map(tuple),
    spent=st.integers(0, 50_000_000),
)
signal_values = st.builds(Signals, st.integers(0, 20_000), st.integers(0, 2_000))


@settings(deadline=None, max_examples=examples(400))
@given(specs, items, signal_values, st.sets(st.sampled_from(["d0", "d1", "d2"]), max_size=1))
def test_the_choice_breaks_no_rule_is_the_cheapest_and_fails_only_when_nothing_is_left(
    specs: list[Spec], item: WorkItem, signals: Signals, away: set[str]
) -> None:
    conditions = Conditions(0, dict.fromkeys(away, "no key"))
    decision = choose(item, signals, policy_of(specs), conditions)
    broken = {spec["name"]: _broken(spec, item, signals) for spec in specs}
    allowed = sorted(
        (spec for spec in specs if not broken[spec["name"]]),
        key=lambda spec: (_bound(spec, signals), TIERS.index(Tier(spec["tier"])), spec["name"]),
    )
    if allowed:
        first = allowed[0]
        able = [
            spec
            for spec in allowed
            if spec["name"] not in away
            and spec["tier"] == first["tier"]
            and (spec["boundary"] == "house") == (first["boundary"] == "house")
        ]
        best = able[0] if able else first
        assert isinstance(decision, Route)
        assert (decision.deployment, decision.tier) == (best["name"], best["tier"])
        assert decision.bound == _bound(best, signals)
        assert decision.output_tokens == signals.output_tokens_bound + best["reasoning"]
        refused = {refusal.deployment: refusal.rule for refusal in decision.refusals}
        assert refused.keys() == {spec["name"] for spec in specs} - {best["name"]}
        for name, rule in refused.items():
            assert rule in (broken[name] or {"more_expensive", "unavailable", "fallback"})
        assert (decision.stands_in_for or best["name"]) == first["name"]
        assert decision.waits_for == ("no key" if best["name"] in away else None)
    elif {"max_cost"} in broken.values():
        assert isinstance(decision, CostCeilingExceeded)
    elif {"unpriced"} in broken.values():
        assert isinstance(decision, Unpriced)
    else:
        assert isinstance(decision, NoRoute)


SIGNALS = Signals(1000, 100)
NOW = Conditions(1_790_000_000_000_000)


def test_regulated_data_stays_in_the_house_however_expensive_that_is() -> None:
    policy = policy_of([a_spec("ours", price=("9", "9")), a_spec("theirs", boundary="vendor:x")])
    route = choose(an_item(sensitivity=Sensitivity.REGULATED), SIGNALS, policy, NOW)
    assert isinstance(route, Route)
    assert route.deployment == "ours"
    assert [(refusal.deployment, refusal.rule) for refusal in route.refusals] == [
        ("theirs", "boundary")
    ]


def test_no_route_says_of_every_deployment_why_and_names_the_item() -> None:
    policy = policy_of([a_spec("theirs", boundary="vendor:x"), a_spec("small", window=100)])
    error = choose(an_item(sensitivity=Sensitivity.CONFIDENTIAL), SIGNALS, policy, NOW)
    assert isinstance(error, NoRoute)
    rules = {field["deployment"]: field["rule"] for field in error.fields["refusals"]}
    assert rules == {"theirs": "boundary", "small": "context_window"}
    assert all(part in error.message for part in ("i-1", "theirs", "small", "replay"))


def test_a_policy_without_deployments_routes_nothing() -> None:
    assert isinstance(choose(an_item(), SIGNALS, policy_of([]), NOW), NoRoute)


def test_a_refused_answer_goes_up_and_never_back_down() -> None:
    specs = [a_spec("low"), a_spec("mid", OPEN, price=("5", "5")), a_spec("top", FRONTIER)]
    policy = policy_of(specs)
    for refused_by, expected in (((GPU,), "top"), ((GPU, OPEN), "top")):
        route = choose(an_item(refused_by=refused_by), SIGNALS, policy, NOW)
        assert isinstance(route, Route)
        assert route.deployment == expected
    assert isinstance(choose(an_item(refused_by=(FRONTIER,)), SIGNALS, policy, NOW), NoRoute)


def test_a_cost_ceiling_names_what_a_program_needs_and_counts_what_is_spent() -> None:
    item = an_item(max_cost=NanoUSD(1_199_999), spent=NanoUSD(0))
    policy = policy_of([a_spec("d"), a_spec("expensive", price=("2", "2"))])
    error = choose(item, SIGNALS, policy, NOW)
    assert isinstance(error, CostCeilingExceeded)
    named = {key: error.fields[key] for key in ("ceiling", "limit", "spent", "held", "needed")}
    assert named == {
        "ceiling": "item:i-1",
        "limit": 1_199_999,
        "spent": 0,
        "held": 0,
        "needed": 1_200_000,
    }
    enough = replace(item, demands=replace(item.demands, max_cost=NanoUSD(1_200_000)))
    assert isinstance(choose(enough, SIGNALS, policy, NOW), Route)
    spent = replace(enough, spent=NanoUSD(1))
    assert isinstance(choose(spent, SIGNALS, policy, NOW), CostCeilingExceeded)


def test_an_unpriced_deployment_is_refused_and_never_free() -> None:
    policy = policy_of([a_spec("free", price=None)])
    error = choose(an_item(), SIGNALS, policy, NOW)
    assert isinstance(error, Unpriced)
    assert error.fields["deployment"] == "free"
    assert "free" in error.message
    assert "i-1" in error.message


def test_a_deployment_that_nobody_can_use_is_passed_over_with_its_reason() -> None:
    policy = policy_of([a_spec("cheap"), a_spec("other", price=("5", "5"))])
    conditions = Conditions(NOW.now, {"cheap": "its worker has no key"})
    route = choose(an_item(), SIGNALS, policy, conditions)
    assert isinstance(route, Route)
    assert route.deployment == "other"
    assert "not cheap: unavailable: its worker has no key" in route.explain()


def test_an_item_larger_than_the_limiter_ever_grants_is_refused_rather_than_left_waiting() -> None:
    policy = policy_of([a_spec("slow", per_minute=2_000)])
    assert isinstance(choose(an_item(), Signals(900, 100), policy, NOW), Route)
    error = choose(an_item(), Signals(900, 101), policy, NOW)
    assert isinstance(error, NoRoute)
    assert error.fields["refusals"][0]["rule"] == "token_limit"


def test_a_deployment_that_counted_the_input_is_judged_and_held_by_its_count_alone() -> None:
    policy = policy_of([a_spec("counts", window=2_000), a_spec("bounds", OPEN, window=2_000)])
    route = choose(an_item(), Signals(4_000, 100, {"counts": 900}), policy, NOW)
    assert isinstance(route, Route)
    assert (route.deployment, route.input_tokens) == ("counts", 900)
    assert route.bound == 1000 * (900 * 1 + 100 * 2)
    assert "at most 900 input tokens, by its own tokenizer" in route.reasons
    assert [(refusal.deployment, refusal.rule) for refusal in route.refusals] == [
        ("bounds", "context_window")
    ]


def test_a_tie_goes_to_the_lower_tier_then_to_the_name() -> None:
    specs = [a_spec("a", FRONTIER), a_spec("c"), a_spec("b")]
    route = choose(an_item(), SIGNALS, policy_of(specs), NOW)
    assert isinstance(route, Route)
    assert route.deployment == "b"


def test_a_route_is_told_to_people_and_to_programs_alike() -> None:
    route = choose(an_item(), SIGNALS, policy_of([a_spec("a"), a_spec("b", price=("3", "3"))]), NOW)
    assert isinstance(route, Route)
    lines = route.explain()
    assert lines[0] == "a (gpu), at most $0.0012"
    assert lines[-1] == "not b: it can cost $0.0033, the chosen one $0.0012"
    told = route.to_json()
    assert (told["tier"], told["deployment"], told["bound"]) == ("gpu", "a", 1_200_000)
    assert told["refusals"] == [
        {
            "deployment": "b",
            "rule": "more_expensive",
            "why": "it can cost $0.0033, the chosen one $0.0012",
        }
    ]


def test_demands_that_were_never_resolved_are_refused() -> None:
    with pytest.raises(ValueError, match="not resolved"):
        choose(an_item(sensitivity=None), SIGNALS, policy_of([a_spec("a")]), NOW)


def _hourly(bound: str, price: tuple[str, str], counts: str = "cash") -> Policy:
    """One's own engine by the hour whose bound is ``bound`` dollars, beside a cheaper-bound API."""
    house = a_spec("house", price=None)
    text = policy_text([house, a_spec("api", OPEN, boundary="vendor:a", price=price)])
    where = "[deployments.house]\n"
    text = text.replace(where, f'{where}gpu_hour = "{bound}"\ntimeout = 3599\n')
    return parse_policy(f'ceilings_count = "{counts}"\n{text}', "t")


def test_an_engine_paid_by_the_hour_goes_before_an_api_with_a_lower_bound() -> None:
    signals = Signals(1_000, 1_000)
    route = choose(an_item(), signals, _hourly("2", ("0.10", "0.40")), Conditions(0))
    assert isinstance(route, Route)
    assert (route.deployment, route.bound) == ("house", 2 * 10**9)
    assert any("paid by the hour" in reason for reason in route.reasons)
    assert [refusal.why for refusal in route.refusals] == [
        "it can cost $0.0005, the chosen one nothing more"
    ]


def test_an_hour_that_is_paid_anyway_counts_towards_max_cost_only_where_the_policy_says_so() -> (
    None
):
    item, signals = an_item(max_cost=NanoUSD(10**9)), Signals(1_000, 1_000)
    route = choose(item, signals, _hourly("2", ("0.10", "0.40")), Conditions(0))
    assert isinstance(route, Route)
    assert route.deployment == "house"
    route = choose(item, signals, _hourly("2", ("0.10", "0.40"), "everything"), Conditions(0))
    assert isinstance(route, Route)
    assert route.deployment == "api"
    assert [refusal.rule for refusal in route.refusals] == ["max_cost"]


def test_what_was_too_small_and_what_is_below_it_is_refused_with_a_reason() -> None:
    policy = policy_of(
        [
            a_spec("below", tier=GPU, boundary="house", window=100_000),
            a_spec("small", boundary="vendor:x", tier=OPEN, window=8_000),
            a_spec("twin", boundary="vendor:x", tier=OPEN, window=8_000),
            a_spec("house", tier=OPEN, boundary="house", window=100_000),
            a_spec("large", boundary="vendor:x", tier=OPEN, window=32_000),
            a_spec("top", boundary="vendor:x", tier=FRONTIER, window=8_000),
        ]
    )
    item = an_item(too_small={"small": "context_window", "gone": "context_window"})
    route = choose(item, SIGNALS, policy, NOW)
    assert isinstance(route, Route)
    assert route.deployment == "large"
    rules = {refusal.deployment: refusal.rule for refusal in route.refusals}
    assert rules == {
        "below": "floor",
        "small": "too_small",
        "twin": "too_small",
        "house": "too_small",
        "top": "more_expensive",
    }
    large = an_item(too_small={"small": "context_window", "large": "too_large"})
    above = choose(large, SIGNALS, policy, NOW)
    assert isinstance(above, Route)
    assert above.deployment == "top"
