"""The walls of a policy around an item that another policy has routed."""

from dataclasses import replace

import pytest

from tests.router.specs import FRONTIER, GPU, OPEN, a_spec, an_item, policy_of, policy_text
from tierqueue.router.item import Sensitivity, Tier
from tierqueue.router.money import NanoUSD
from tierqueue.router.policy.policy import Policy, parse_policy
from tierqueue.router.selection.walls import broken

HERE = policy_of([a_spec("it", OPEN, boundary="vendor:x")])
CALLED = HERE.deployments["it"]


def rule(policy: Policy, item: object = None, tokens: int = 100) -> str | None:
    found = broken(policy, item or an_item(), CALLED, NanoUSD(50), tokens)  # type: ignore[arg-type]
    return None if found is None else found.rule


def test_a_policy_that_says_the_same_of_it_lets_it_through() -> None:
    assert rule(HERE) is None
    expensive = policy_of([a_spec("it", OPEN, boundary="vendor:x", price=("9", "9"))])
    assert rule(expensive) is None


@pytest.mark.parametrize(
    "other",
    [
        a_spec("another", OPEN, boundary="vendor:x"),
        a_spec("it", OPEN, boundary="vendor:y"),
        a_spec("it", FRONTIER, boundary="vendor:x"),
        a_spec("it", OPEN),
    ],
)
def test_a_deployment_it_does_not_have_or_has_elsewhere_is_a_wall(other: dict[str, object]) -> None:
    assert rule(policy_of([other])) == "deployment"


def test_what_would_leave_under_a_pseudonym_there_is_a_wall_where_it_does_not_here() -> None:
    text = policy_text([a_spec("it", OPEN, boundary="vendor:x")])
    text += '[redaction."vendor:x"]\nkinds = ["email"]\n'
    assert rule(parse_policy(text, "test")) == "deployment"


@pytest.mark.parametrize("floor", [GPU, OPEN, FRONTIER])
def test_its_floor_is_a_wall(floor: Tier) -> None:
    assert rule(HERE, an_item(floor=floor)) == ("floor" if floor is FRONTIER else None)


def test_its_boundary_task_types_window_and_the_items_own_limit_are_walls() -> None:
    assert rule(HERE, an_item(sensitivity=Sensitivity.REGULATED)) == "boundary"
    assert rule(HERE, tokens=8193) == "context_window"
    assert rule(HERE, an_item(images=((10, 10),))) == "vision"
    assert rule(HERE, an_item(max_cost=NanoUSD(50))) is None
    assert rule(HERE, an_item(max_cost=NanoUSD(49))) == "max_cost"
    spent = an_item(max_cost=NanoUSD(100), spent=NanoUSD(51))
    assert rule(HERE, spent) == "max_cost"
    text = policy_text([a_spec("it", OPEN, boundary="vendor:x")]) + 'tasks = ["other"]\n'
    assert rule(parse_policy(text, "test")) == "task_type"


def test_demands_are_to_be_resolved() -> None:
    item = an_item()
    with pytest.raises(ValueError, match="not resolved"):
        rule(HERE, replace(item, demands=replace(item.demands, floor=None)))
