"""The routing decision, held against an oracle that knows nothing of its code."""

from dataclasses import replace
from fractions import Fraction
from math import ceil
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierqueue.router.choose import Route, Standing, choose
from tierqueue.router.errors import CostCeilingExceeded, NoRoute, Unpriced
from tierqueue.router.item import TIERS, Demands, Sensitivity, Tier, WorkItem
from tierqueue.router.money import NanoUSD
from tierqueue.router.policy import Policy, parse_policy
from tierqueue.router.signals import Signals

GPU, OPEN, FRONTIER = TIERS
Spec = dict[str, Any]


def _policy(specs: list[Spec]) -> Policy:
    return parse_policy(_policy_text(specs), "test")


def _policy_text(specs: list[Spec]) -> str:
    text = ""
    for spec in specs:
        engine = "vllm" if spec["boundary"] == "house" else "openai"
        text += f'[deployments.{spec["name"]}]\nmodel = "m"\nengine = "{engine}"\n'
        text += f'tier = "{spec["tier"]}"\nboundary = "{spec["boundary"]}"\n'
        text += f"context_window = {spec['window']}\n"
        if engine != "vllm":
            text += 'key_env = "KEY"\n'
        if spec["price"] is not None:
            price = spec["price"]
            text += f'prices = {{ input = "{price[0]}", output = "{price[1]}" }}\n'
        text += f"reasoning_tokens = {spec['reasoning']}\n"
        if spec["per_minute"] is not None:
            text += f"limits = {{ tokens_per_minute = {spec['per_minute']} }}\n"
    return text


def _spec(name: str, tier: Tier = GPU, **stated: Any) -> Spec:
    plain = {"boundary": "house", "window": 8192, "price": ("1", "2"), "per_minute": None}
    plain["reasoning"] = 0
    return plain | {"name": name, "tier": tier.value} | stated


def _item(**stated: Any) -> WorkItem:
    own: dict[str, Any] = {"sensitivity": Sensitivity.INTERNAL, "floor": GPU}
    for key in ("sensitivity", "floor", "max_cost"):
        if key in stated:
            own[key] = stated.pop(key)
    plain: dict[str, Any] = {"id": "i-1", "task": "t", "prompt_bytes": 0, "output_limit": 0}
    return WorkItem(**(plain | {"demands": Demands(**own)} | stated))


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
    lambda fields: [each | {"name": f"d{number}"} for number, each in enumerate(fields)]
)
items = st.builds(
    _item,
    sensitivity=st.sampled_from(Sensitivity),
    floor=st.sampled_from(TIERS),
    max_cost=st.one_of(st.none(), st.integers(0, 200_000_000)),
    refused_by=st.lists(st.sampled_from(TIERS), max_size=1).map(tuple),
    spent=st.integers(0, 50_000_000),
)
signal_values = st.builds(Signals, st.integers(0, 20_000), st.integers(0, 2_000))


@settings(deadline=None, max_examples=400)
@given(specs, items, signal_values, st.sets(st.sampled_from(["d0", "d1", "d2"]), max_size=1))
def test_the_choice_breaks_no_rule_is_the_cheapest_and_fails_only_when_nothing_is_left(
    specs: list[Spec], item: WorkItem, signals: Signals, away: set[str]
) -> None:
    standing = Standing(0, dict.fromkeys(away, "no key"))
    decision = choose(item, signals, _policy(specs), standing)
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
        refused = {each.deployment: each.rule for each in decision.refusals}
        assert refused.keys() == {spec["name"] for spec in specs} - {best["name"]}
        for name, rule in refused.items():
            assert rule in (broken[name] or {"dearer", "unavailable", "fallback"})
        assert (decision.stands_in_for or best["name"]) == first["name"]
        assert decision.waits_for == ("no key" if best["name"] in away else None)
    elif {"max_cost"} in broken.values():
        assert isinstance(decision, CostCeilingExceeded)
    elif {"unpriced"} in broken.values():
        assert isinstance(decision, Unpriced)
    else:
        assert isinstance(decision, NoRoute)


SIGNALS = Signals(1000, 100)
NOW = Standing(1_790_000_000_000_000)


def test_regulated_data_stays_in_the_house_however_dear_that_is() -> None:
    policy = _policy([_spec("ours", price=("9", "9")), _spec("theirs", boundary="vendor:x")])
    route = choose(_item(sensitivity=Sensitivity.REGULATED), SIGNALS, policy, NOW)
    assert isinstance(route, Route)
    assert route.deployment == "ours"
    assert [(each.deployment, each.rule) for each in route.refusals] == [("theirs", "boundary")]


def test_no_route_says_of_every_deployment_why_and_names_the_item() -> None:
    policy = _policy([_spec("theirs", boundary="vendor:x"), _spec("small", window=100)])
    error = choose(_item(sensitivity=Sensitivity.CONFIDENTIAL), SIGNALS, policy, NOW)
    assert isinstance(error, NoRoute)
    rules = {each["deployment"]: each["rule"] for each in error.fields["refusals"]}
    assert rules == {"theirs": "boundary", "small": "context_window"}
    assert all(part in error.message for part in ("i-1", "theirs", "small", "replay"))


def test_a_policy_without_deployments_routes_nothing() -> None:
    assert isinstance(choose(_item(), SIGNALS, _policy([]), NOW), NoRoute)


def test_a_refused_answer_goes_up_and_never_back_down() -> None:
    specs = [_spec("low"), _spec("mid", OPEN, price=("5", "5")), _spec("top", FRONTIER)]
    policy = _policy(specs)
    for refused_by, expected in (((GPU,), "top"), ((GPU, OPEN), "top")):
        route = choose(_item(refused_by=refused_by), SIGNALS, policy, NOW)
        assert isinstance(route, Route)
        assert route.deployment == expected
    assert isinstance(choose(_item(refused_by=(FRONTIER,)), SIGNALS, policy, NOW), NoRoute)


def test_a_cost_ceiling_names_what_a_program_needs_and_counts_what_is_spent() -> None:
    item = _item(max_cost=NanoUSD(1_199_999), spent=NanoUSD(0))
    policy = _policy([_spec("d"), _spec("dearer", price=("2", "2"))])
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
    policy = _policy([_spec("free", price=None)])
    error = choose(_item(), SIGNALS, policy, NOW)
    assert isinstance(error, Unpriced)
    assert error.fields["deployment"] == "free"
    assert "free" in error.message
    assert "i-1" in error.message


def test_a_deployment_that_nobody_can_use_is_passed_over_with_its_reason() -> None:
    policy = _policy([_spec("cheap"), _spec("other", price=("5", "5"))])
    standing = Standing(NOW.now, {"cheap": "its worker has no key"})
    route = choose(_item(), SIGNALS, policy, standing)
    assert isinstance(route, Route)
    assert route.deployment == "other"
    assert "not cheap: unavailable: its worker has no key" in route.explain()


def test_another_of_the_same_tier_takes_over_with_its_own_bound_and_says_for_whom() -> None:
    item, standing = _item(), Standing(NOW.now, {"ours": "down"})
    policy = _policy(
        [
            _spec("ours", boundary="vendor:a", price=("1", "1")),
            _spec("theirs", boundary="vendor:b", price=("5", "5")),
        ]
    )
    usual = choose(item, SIGNALS, policy, NOW)
    route = choose(item, SIGNALS, policy, standing)
    assert isinstance(usual, Route)
    assert isinstance(route, Route)
    assert (usual.deployment, route.deployment, route.stands_in_for) == ("ours", "theirs", "ours")
    assert route.bound == 5 * usual.bound
    assert route.reasons[0] == "in place of ours, which is unavailable: down"
    assert route.to_json()["stands_in_for"] == "ours"


@pytest.mark.parametrize(
    "other",
    [
        {"tier": Tier.OPEN_WEIGHT},
        {"boundary": "vendor:x"},
        {"window": 100},
        {"price": None},
    ],
)
def test_no_other_tier_boundary_or_rule_breaker_takes_over_and_the_item_waits(
    other: dict[str, Any],
) -> None:
    policy = _policy([_spec("ours", price=("0.1", "0.1")), _spec("other", **other)])
    route = choose(_item(), SIGNALS, policy, Standing(NOW.now, {"ours": "down"}))
    assert isinstance(route, Route)
    assert (route.deployment, route.waits_for, route.stands_in_for) == ("ours", "down", None)


def test_an_item_larger_than_the_limiter_ever_grants_is_refused_rather_than_left_waiting() -> None:
    policy = _policy([_spec("slow", per_minute=2_000)])
    assert isinstance(choose(_item(), Signals(900, 100), policy, NOW), Route)
    error = choose(_item(), Signals(900, 101), policy, NOW)
    assert isinstance(error, NoRoute)
    assert error.fields["refusals"][0]["rule"] == "token_limit"


def test_a_deployment_that_counted_the_input_is_judged_and_held_by_its_count_alone() -> None:
    policy = _policy([_spec("counts", window=2_000), _spec("bounds", OPEN, window=2_000)])
    route = choose(_item(), Signals(4_000, 100, {"counts": 900}), policy, NOW)
    assert isinstance(route, Route)
    assert (route.deployment, route.input_tokens) == ("counts", 900)
    assert route.bound == 1000 * (900 * 1 + 100 * 2)
    assert "at most 900 input tokens, by its own tokenizer" in route.reasons
    assert [(each.deployment, each.rule) for each in route.refusals] == [
        ("bounds", "context_window")
    ]


def test_a_tie_goes_to_the_lower_tier_then_to_the_name() -> None:
    specs = [_spec("a", FRONTIER), _spec("c"), _spec("b")]
    route = choose(_item(), SIGNALS, _policy(specs), NOW)
    assert isinstance(route, Route)
    assert route.deployment == "b"


def test_a_route_is_told_to_people_and_to_programs_alike() -> None:
    route = choose(_item(), SIGNALS, _policy([_spec("a"), _spec("b", price=("3", "3"))]), NOW)
    assert isinstance(route, Route)
    lines = route.explain()
    assert lines[0] == "a (gpu), at most $0.0012"
    assert lines[-1] == "not b: it can cost $0.0033, the chosen one $0.0012"
    told = route.to_json()
    assert (told["tier"], told["deployment"], told["bound"]) == ("gpu", "a", 1_200_000)
    assert told["refusals"] == [
        {
            "deployment": "b",
            "rule": "dearer",
            "why": "it can cost $0.0033, the chosen one $0.0012",
        }
    ]


def test_demands_that_were_never_resolved_are_refused() -> None:
    with pytest.raises(ValueError, match="not resolved"):
        choose(_item(sensitivity=None), SIGNALS, _policy([_spec("a")]), NOW)


def _hourly(bound: str, price: tuple[str, str]) -> Policy:
    """A house engine by the hour whose bound is ``bound`` dollars, beside a cheaper-bound API."""
    house = _spec("house", price=None)
    text = _policy_text([house, _spec("api", OPEN, boundary="vendor:a", price=price)])
    where = "[deployments.house]\n"
    return parse_policy(text.replace(where, f'{where}gpu_hour = "{bound}"\ntimeout = 3599\n'), "t")


def test_an_engine_paid_by_the_hour_goes_before_an_api_with_a_lower_bound() -> None:
    signals = Signals(1_000, 1_000)
    route = choose(_item(), signals, _hourly("2", ("0.10", "0.40")), Standing(0))
    assert isinstance(route, Route)
    assert (route.deployment, route.bound) == ("house", 2 * 10**9)
    assert any("paid by the hour" in reason for reason in route.reasons)
    assert [each.why for each in route.refusals] == [
        "it can cost $0.0005, the chosen one nothing more"
    ]


def test_what_is_held_for_an_engine_paid_by_the_hour_must_still_fit_the_items_max_cost() -> None:
    item = _item(max_cost=NanoUSD(10**9))
    route = choose(item, Signals(1_000, 1_000), _hourly("2", ("0.10", "0.40")), Standing(0))
    assert isinstance(route, Route)
    assert route.deployment == "api"
    assert [each.rule for each in route.refusals] == ["max_cost"]
