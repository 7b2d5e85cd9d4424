"""Limits that operators set of deployments, as the routing decision takes them."""

from tests.router.specs import a_spec, an_item, policy_of
from tierqueue.router.choose import Conditions, choose
from tierqueue.router.errors import NoRoute
from tierqueue.router.route import Route
from tierqueue.router.signals import Signals


def test_limits_that_operators_set_send_what_is_larger_elsewhere() -> None:
    policy = policy_of([a_spec("cheap"), a_spec("costly", price=("2", "4"))])
    signals = Signals(100, 100)
    for name in ("tokens_per_minute", "input_tokens_per_minute", "output_tokens_per_minute"):
        limited = Conditions(now=0, limits={"cheap": {name: 90}})
        route = choose(an_item(), signals, policy, limited)
        assert isinstance(route, Route)
        assert route.deployment == "costly"
        assert [refused.rule for refused in route.refusals] == ["token_limit"]


def test_where_limits_that_operators_set_leave_nobody_the_item_waits() -> None:
    policy = policy_of([a_spec("only")])
    limited = Conditions(now=0, limits={"only": {"tokens_per_minute": 9}})
    route = choose(an_item(), Signals(100, 100), policy, limited)
    assert isinstance(route, Route)
    assert route.deployment == "only"


SHARED = """
[accounts.one]
tokens_per_minute = 1000

[budgets.small.limits]
input_tokens_per_minute = 150
"""


def test_one_above_what_its_account_ever_grants_goes_to_a_deployment_of_another() -> None:
    policy = policy_of([a_spec("cheap", account="one"), a_spec("costly", price=("2", "4"))], SHARED)
    route = choose(an_item(), Signals(400, 200), policy, Conditions(now=0))
    assert isinstance(route, Route)
    assert route.deployment == "costly"
    [refused] = route.refusals
    assert (refused.rule, "its account one" in refused.why) == ("token_limit", True)
    larger = Conditions(now=0, limits={"account:one": {"tokens_per_minute": 10_000}})
    route = choose(an_item(), Signals(400, 200), policy, larger)
    assert isinstance(route, Route)
    assert route.deployment == "cheap"


def test_one_above_what_its_budget_ever_grants_goes_nowhere_and_says_why() -> None:
    policy = policy_of([a_spec("only", account="one")], SHARED)
    choice = choose(an_item(budget="small"), Signals(200, 10), policy, Conditions(now=0))
    assert isinstance(choice, NoRoute)
    assert "the budget small may be sent in a minute (150)" in choice.message
    for other in (an_item(budget="other"), an_item()):
        assert isinstance(choose(other, Signals(200, 10), policy, Conditions(now=0)), Route)


def test_one_above_what_an_operator_set_of_its_budget_waits_for_it() -> None:
    policy = policy_of([a_spec("only", account="one")], SHARED)
    limited = Conditions(now=0, limits={"budget:other": {"tokens_per_minute": 9}})
    route = choose(an_item(budget="other"), Signals(200, 10), policy, limited)
    assert isinstance(route, Route)
    assert route.deployment == "only"
