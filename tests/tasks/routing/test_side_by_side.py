"""Two policies side by side: what either forbids is not called, whatever pair they are."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.ledger.claimed import an_item
from tierqueue.ledger.records import Item
from tierqueue.router.item import TIERS, Sensitivity, Tier
from tierqueue.router.money import NanoUSD
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.policy import Policy, parse_policy
from tierqueue.tasks.routing.decide import choose_all, demands_of
from tierqueue.tasks.routing.side_by_side import ROLL_OUT_US, Policies

NOW = 1_700_000_000_000_000
SENSITIVITIES = [None, *(level.value for level in Sensitivity)]
FLOORS = [None, *(tier.value for tier in TIERS)]
MONEY = [None, "0.000001", "0.001", "1"]


def _stated(key: str, value: str | None) -> str:
    return "" if value is None else f'{key} = "{value}"\n'


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    def pick(options: list[Any]) -> Any:
        return draw(st.sampled_from(options))

    text = _stated("default_sensitivity", pick(SENSITIVITIES))
    for name, tier in (("small", "gpu"), ("open", "open_weight"), ("best", "frontier")):
        if pick([True, True, True, False]):
            text += f'[deployments.{name}]\ntier = "{tier}"\nengine = "openai"\nmodel = "{name}"\n'
            text += 'key_env = "KEY"\nbase_url = "http://127.0.0.1:1/v1"\n'
            text += f'boundary = "{pick(["house", "vendor:x", "vendor:x", "vendor:y"])}"\n'
            text += f"context_window = {pick([800, 32_000])}\n"
            text += f'prices = {{ input = "{pick(["1", "3"])}", output = "2" }}\n'
            text += pick(["", "", 'tasks = ["other"]\n'])
    text += "[tasks.ticket]\n"
    text += _stated("sensitivity", pick(SENSITIVITIES))
    text += _stated("floor", pick(FLOORS))
    text += _stated("max_cost", pick(MONEY))
    if (floor := pick(FLOORS)) is not None:
        text += f'[[floors]]\nfloor = "{floor}"\n' + pick(["", 'risk = "auto_applied"\n'])
    return parse_policy(text, "test")


@st.composite
def items(draw: st.DrawFn) -> Item:
    own: dict[str, Any] = {
        "sensitivity": draw(st.sampled_from(SENSITIVITIES)),
        "floor": draw(st.sampled_from(FLOORS)),
        "risk": draw(st.sampled_from([None, "internal"])),
        "max_cost": draw(st.sampled_from([None, 2_000_000])),
    }
    stated = {name: value for name, value in own.items() if value is not None}
    size = draw(st.integers(0, 2_000))
    plain: dict[str, Any] = {"risk": None, "sensitivity": None, "floor": None, "max_cost": None}
    plain |= {"latency": None, "budget": None, "policy": None, "deadline": NOW + 10**12}
    return an_item(**{**plain, "task": "ticket", "stated": stated, "prompt_bytes": size})


def routed(item: Item, policy: Policy) -> tuple[Item, Deployment] | None:
    """The item as the routing stage writes it, and where it is to be called."""
    chosen = choose_all([item], policy, NOW, {}).routed
    if not chosen:
        return None
    found = chosen[0]
    written = item._replace(
        bound=found.bound, token_bound=found.token_bound, policy=policy.digest, route=found.route
    )
    return written, policy.deployments[found.deployment]


def lets_through(policy: Policy, item: Item, called: Deployment) -> bool:
    """Said once more, in as few words as can be."""
    known, demands = policy.deployments.get(called.name), demands_of(item, policy, NOW)
    if known is None or known.boundary != called.boundary:
        return False
    assert demands.sensitivity is not None
    assert demands.floor is not None
    leaves = known.boundary != "house"
    most = demands.max_cost
    return (
        (not leaves or demands.sensitivity in (Sensitivity.PUBLIC, Sensitivity.INTERNAL))
        and TIERS.index(known.tier) >= TIERS.index(demands.floor)
        and (known.tasks is None or item.task in known.tasks)
        and (item.token_bound or 0) <= known.context_window
        and (most is None or (item.bound or 0) + item.spent - item.attributed <= most)
    )


@given(items(), policies(), policies())
def test_during_a_roll_out_an_item_is_called_where_both_let_it_through_and_nowhere_else(
    item: Item, before: Policy, after: Policy
) -> None:
    if (found := routed(item, after)) is None:
        return
    written, called = found
    both = lets_through(before, written, called) and lets_through(after, written, called)
    rolling = Policies(before).followed_by(after, NOW)
    held = rolling.held_back([written], called, NOW + 1)
    assert (held == {}) is both
    assert both or held == {written.id: NOW + ROLL_OUT_US}
    assert rolling.held_back([written], called, NOW + ROLL_OUT_US) == {}


@given(items(), policies(), policies())
def test_a_process_of_another_policy_than_the_items_keeps_to_its_own_walls_for_ever(
    item: Item, own: Policy, routed_by: Policy
) -> None:
    if (found := routed(item, routed_by)) is None:
        return
    written, called = found
    held = Policies(own).held_back([written], called, NOW + 10 * ROLL_OUT_US)
    assert (held == {}) is lets_through(own, written, called)


@given(items(), policies())
def test_one_policy_alone_holds_nothing_back(item: Item, policy: Policy) -> None:
    if (found := routed(item, policy)) is not None:
        assert Policies(policy).held_back([found[0]], found[1], NOW) == {}


def test_one_policy_after_the_other_each_holds_for_its_time() -> None:
    low = '[deployments.small]\ntier = "gpu"\nengine = "openai"\nmodel = "m"\nboundary = "house"\n'
    low += 'base_url = "http://127.0.0.1:1/v1"\ncontext_window = 800\n'
    low += 'prices = { input = "1", output = "2" }\n'
    strict = parse_policy(low + '[[floors]]\nfloor = "frontier"\n', "test")
    lax, again = parse_policy(low, "test"), parse_policy(low + "[retry]\ncalls = 2\n", "test")
    chain = Policies(strict).followed_by(lax, NOW).followed_by(again, NOW + 5)
    plain: dict[str, Any] = {"sensitivity": None, "floor": None, "max_cost": None, "risk": None}
    found = routed(an_item(**plain, stated={}, task="ticket", deadline=NOW + 10**12), again)
    assert found is not None
    assert chain.held_back([found[0]], found[1], NOW + 6) == {found[0].id: NOW + ROLL_OUT_US}
    assert chain.held_back([found[0]], found[1], NOW + ROLL_OUT_US) == {}
    assert chain.followed_by(lax, NOW + 2 * ROLL_OUT_US).before[0].policy is again


def test_an_item_that_fell_to_a_tier_is_held_back_where_the_other_policy_has_it_fall_nowhere() -> (
    None
):
    text = 'default_sensitivity = "internal"\n[deployments.open]\ntier = "open_weight"\n'
    text += 'engine = "openai"\nmodel = "m"\nboundary = "vendor:x"\nkey_env = "KEY"\n'
    text += 'context_window = 32000\nprices = { input = "1", output = "2" }\n'
    text += text[text.index("[dep") :].replace("open]", "best]").replace("open_weight", "frontier")
    falls = parse_policy(text + '[tasks.ticket]\non_outage = "open_weight"\n', "test")
    degraded = {"from": "best", "to": Tier.OPEN_WEIGHT.value, "on": "outage"}
    plain: dict[str, Any] = {"sensitivity": None, "floor": None, "max_cost": None, "risk": None}
    item = an_item(**plain, stated={}, task="ticket", deadline=NOW + 10**12, degraded=degraded)
    found = routed(item._replace(fallback=None), falls)
    assert found is not None
    written, called = found
    rolling = Policies(parse_policy(text, "test")).followed_by(falls, NOW)
    assert rolling.held_back([written._replace(bound=NanoUSD(1))], called, NOW + 1) != {}
    assert Policies(falls).held_back([written], called, NOW + 1) == {}
