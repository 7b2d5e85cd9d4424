"""What an item that nobody takes is told: the nearest change with which somebody would."""

from dataclasses import replace

from hypothesis import given, settings

from tests.drawing import examples
from tests.router.choose.test_choose import items, signal_values, specs
from tests.router.specs import FRONTIER, GPU, OPEN, Spec, a_spec, an_item, policy_of
from tierqueue.router.choose import Conditions, choose
from tierqueue.router.errors import NoRoute
from tierqueue.router.item import Sensitivity, WorkItem
from tierqueue.router.policy.policy import Policy
from tierqueue.router.route import Route
from tierqueue.router.signals import Signals

NOW = Conditions(0)


def nearest(item: WorkItem, policy: Policy) -> str | None:
    error = choose(item, Signals(1000, 100), policy, NOW)
    assert isinstance(error, NoRoute)
    change = error.fields.get("nearest")
    assert change is None or change in error.message
    return change


def test_what_is_too_long_is_told_by_how_many_tokens_for_whom_it_takes_least() -> None:
    policy = policy_of([a_spec("small", window=500), a_spec("large", OPEN, window=1_000)])
    assert nearest(an_item(), policy) == (
        "large would do it were prompt and answer 100 tokens shorter"
    )


def test_a_floor_that_nobody_reaches_is_told() -> None:
    policy = policy_of([a_spec("low"), a_spec("mid", OPEN)])
    said = nearest(an_item(floor=FRONTIER), policy)
    assert said == "mid would do it with the floor at open_weight"


def test_nothing_is_let_out_of_the_house_a_house_deployment_is_asked_for() -> None:
    policy = policy_of([a_spec("theirs", boundary="vendor:x")])
    said = nearest(an_item(sensitivity=Sensitivity.REGULATED), policy)
    assert said == "a deployment like theirs with the boundary `house` would be needed"


def test_after_a_refused_answer_no_lower_floor_is_offered() -> None:
    assert nearest(an_item(refused_by=(GPU,)), policy_of([a_spec("low")])) is None


def test_a_policy_without_deployments_has_no_nearest_change() -> None:
    assert nearest(an_item(), policy_of([])) is None


@settings(deadline=None, max_examples=examples(200))
@given(specs, items, signal_values)
def test_a_shorter_item_that_is_named_is_taken(
    specs: list[Spec], item: WorkItem, signals: Signals
) -> None:
    error = choose(item, signals, policy_of(specs), NOW)
    said = error.fields.get("nearest", "") if isinstance(error, NoRoute) else ""
    if "shorter" in said:
        tokens = int(said.split(" tokens")[0].split()[-1].replace(",", ""))
        shorter = replace(signals, input_tokens_bound=signals.input_tokens_bound - tokens)
        assert isinstance(choose(item, shorter, policy_of(specs), NOW), Route)
