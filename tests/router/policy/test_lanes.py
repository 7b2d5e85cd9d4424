"""Which items go in a batch, at what bound, and what a policy may say of it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.router.specs import FRONTIER, OPEN, a_spec, an_item, policy_of, policy_text
from tierqueue.router.choose import Conditions, choose
from tierqueue.router.errors import InvalidPolicy
from tierqueue.router.item import Latency, WorkItem
from tierqueue.router.policy.duration import HOUR_US
from tierqueue.router.policy.lanes import GIVEN_UP_US, LEAST_US, PROMOTED_US, Lane
from tierqueue.router.policy.policy import Policy, parse_policy
from tierqueue.router.route import Route
from tierqueue.router.selection.evidence import Evidence
from tierqueue.router.selection.fitting import Queue
from tierqueue.router.signals import Signals

NOW = 1_000 * HOUR_US
SPECS = [
    a_spec("live", OPEN, boundary="vendor:a", price=("1", "2")),
    a_spec("batched", FRONTIER, boundary="vendor:b", price=("1.5", "3")),
]
BATCH = '[deployments.batched.batch]\nprices = { input = "0.75", output = "1.50" }\n'
POLICY = parse_policy(policy_text(SPECS) + BATCH, "test")


def routed(item: WorkItem, policy: Policy = POLICY) -> Route:
    route = choose(item, Signals(100, 10), policy, Conditions(now=NOW))
    assert isinstance(route, Route)
    return route


def an_item_with(left: int, latency: Latency | None = None) -> WorkItem:
    item = an_item()
    return replace(item, demands=replace(item.demands, deadline=NOW + left, latency=latency))


def test_an_item_with_time_is_chosen_for_and_bound_by_the_price_of_batches() -> None:
    route = routed(an_item_with(24 * HOUR_US))
    assert (route.deployment, route.lane, route.bound) == ("batched", Lane.BATCH, 90_000)
    assert route.to_json()["lane"] == "batch"
    assert route.reasons[-1] == (
        "in a batch, at the provider's lower price: 24 h 0 min are left until its deadline"
    )


def test_an_item_without_time_goes_where_a_live_call_is_cheapest() -> None:
    route = routed(an_item_with(LEAST_US - 1))
    assert (route.deployment, route.lane, route.bound) == ("live", Lane.LIVE, 120_000)


@pytest.mark.parametrize(
    ("item", "why"),
    [
        (an_item_with(HOUR_US), "1 h 0 min are left until its deadline, and a batch is given two"),
        (an_item_with(24 * HOUR_US, Latency.INTERACTIVE), "somebody waits for it"),
        (replace(an_item_with(24 * HOUR_US), live=True), "its batch came to nothing"),
    ],
)
def test_a_route_says_why_an_item_goes_live(item: WorkItem, why: str) -> None:
    only = parse_policy(policy_text(SPECS[1:]) + BATCH, "test")
    route = routed(item, only)
    assert (route.deployment, route.lane) == ("batched", Lane.LIVE)
    assert why in route.reasons[-1]


def test_where_no_batch_price_is_stated_nothing_is_said_of_batches() -> None:
    route = routed(an_item_with(24 * HOUR_US), policy_of(SPECS))
    assert route.lane is Lane.LIVE
    assert not any("batch" in reason for reason in route.reasons)


@given(left=st.integers(0, 48 * HOUR_US))
def test_the_choice_is_the_cheapest_whatever_lane_each_one_offers(left: int) -> None:
    route = routed(an_item_with(left))
    assert (route.lane is Lane.BATCH) == (left >= LEAST_US)
    assert route.bound == min(120_000, 90_000 if left >= LEAST_US else 180_000)


def test_a_long_queue_of_live_calls_keeps_nobody_out_of_a_batch() -> None:
    slow = Evidence(100, 100, 10_000, 1_000, 100 * 600.0)
    conditions = Conditions(
        now=NOW,
        evidence={"t": {"batched": slow, "live": slow}},
        queues={FRONTIER: Queue(100_000, 1), OPEN: Queue(100_000, 1)},
    )
    route = choose(an_item_with(24 * HOUR_US), Signals(100, 10), POLICY, conditions)
    assert isinstance(route, Route)
    assert (route.deployment, route.lane) == ("batched", Lane.BATCH)


def test_there_is_time_to_promote_before_an_item_is_given_up() -> None:
    assert LEAST_US > PROMOTED_US > GIVEN_UP_US > 0


def test_what_a_deployment_costs_in_a_batch_is_its_batch_price_alone() -> None:
    deployment = POLICY.deployments["batched"]
    assert deployment.batch is not None
    assert deployment.in_batch.prices == deployment.batch.prices
    assert deployment.in_batch.name == "batched"
    assert POLICY.deployments["live"].in_batch is POLICY.deployments["live"]


def test_an_older_release_does_not_call_what_has_a_batch_price() -> None:
    plain = policy_of(SPECS).deployments["batched"]
    assert POLICY.deployments["batched"].terms != plain.terms


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (BATCH.replace("prices", "price"), "price"),
        ("[deployments.batched.batch]\n", "prices"),
        (BATCH + "requests = 0\n", "requests"),
        (BATCH + 'collect = "soon"\n', "collect"),
        (BATCH.replace("batched", "house"), "batch is for openai and anthropic engines"),
    ],
)
def test_a_batch_table_that_cannot_hold_is_refused(text: str, why: str) -> None:
    house = policy_text([*SPECS, a_spec("house")])
    with pytest.raises(InvalidPolicy, match=why):
        parse_policy(house + text, "test")


AT = """
[deployments.far]
tier = "frontier"
profile = "{profile}"
model = "m"
boundary = "vendor:far"
key_env = "K"
context_window = 1000
prices = {{ input = "1", output = "2" }}
{more}
batch = {{ prices = {{ input = "0.5", output = "1" }}{batch} }}
"""
PROXY = 'base_url = "http://proxy/v1"'
AZURE = 'base_url = "https://a.openai.azure.com/openai/v1"'


@pytest.mark.parametrize(
    ("profile", "more", "batch", "api"),
    [
        ("openai", "", "", "openai"),
        ("anthropic", "", "", "anthropic"),
        ("azure", AZURE, "", "azure"),
        ("mistral", "", "", "mistral"),
        ("together", "", "", "together"),
        ("groq", "", "", "openai"),
        ("fireworks", "", ', api = "openai"', "openai"),
        ("mistral", PROXY, "", "mistral"),
        ("litellm", PROXY, "", "openai"),
        ("deepseek", PROXY, ', api = "openai"', "openai"),
    ],
)
def test_how_batches_are_asked_for_is_as_the_profile_or_the_policy_says(
    profile: str, more: str, batch: str, api: str
) -> None:
    text = AT.format(profile=profile, more=more, batch=batch)
    found = parse_policy(text, "test").deployments["far"].batch
    assert found is not None
    assert found.api == api


@pytest.mark.parametrize("more", ["", PROXY])
@pytest.mark.parametrize("profile", ["deepseek", "fireworks", "gemini", "moonshot"])
def test_batches_of_a_provider_that_has_none_in_a_known_form_are_refused(
    profile: str, more: str
) -> None:
    with pytest.raises(InvalidPolicy, match="has no batches in a form that is known here"):
        parse_policy(AT.format(profile=profile, more=more, batch=""), "test")


def test_a_form_that_the_engine_does_not_speak_is_refused() -> None:
    text = AT.format(profile="openai", more="", batch=', api = "anthropic"')
    with pytest.raises(InvalidPolicy, match="is not what openai engines speak"):
        parse_policy(text, "test")


def test_a_model_may_have_another_name_in_batches_and_answers_by_either() -> None:
    text = AT.format(profile="azure", more=AZURE, batch=', model = "m-batch"')
    far = parse_policy(text, "test").deployments["far"]
    assert (far.model, far.batched.model, far.in_batch.model) == ("m", "m-batch", "m-batch")
    assert "m" in far.batched.served_as
    plain = parse_policy(AT.format(profile="azure", more=AZURE, batch=""), "test").deployments[
        "far"
    ]
    assert plain.batched is plain
    assert plain.terms != far.terms


def test_an_older_release_that_knows_no_forms_keeps_what_it_has_a_batch_price_for() -> None:
    said = [
        parse_policy(AT.format(profile="openai", more="", batch=batch), "test")
        for batch in ("", ', api = "openai"')
    ]
    assert len({one.deployments["far"].terms for one in said}) == 1
