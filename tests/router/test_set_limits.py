"""Limits that operators set of deployments, as the routing decision takes them."""

from tests.router.specs import a_spec, an_item, policy_of
from tierqueue.router.choose import Conditions, choose
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
