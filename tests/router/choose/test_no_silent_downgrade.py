"""What users of gateways complain of, one test a complaint: no item is quietly done worse."""

from tests.router.specs import FRONTIER, GPU, OPEN, a_spec, an_item, policy_of
from tierqueue.router.choose import Conditions, choose
from tierqueue.router.errors import CostCeilingExceeded, NoRoute
from tierqueue.router.escalation import after_rejection
from tierqueue.router.item import Fallback, Sensitivity
from tierqueue.router.money import NanoUSD
from tierqueue.router.route import Route
from tierqueue.router.selection.evidence import Evidence
from tierqueue.router.served_model import must_be_the_asked, same_model
from tierqueue.router.signals import Signals

SIGNALS = Signals(1000, 100)
LOW, MID, TOP = a_spec("low"), a_spec("mid", OPEN), a_spec("top", FRONTIER, price=("9", "9"))
THEIRS = a_spec("theirs", FRONTIER, boundary="vendor:x")
WELL_KNOWN = {"t": {"low": Evidence(900, 900, 9_000, 900, 90.0)}}


def test_over_budget_no_cheaper_model_takes_over() -> None:
    item = an_item(floor=FRONTIER, max_cost=NanoUSD(1))
    error = choose(item, SIGNALS, policy_of([LOW, MID, TOP]), Conditions(0, {}, WELL_KNOWN))
    assert isinstance(error, CostCeilingExceeded)


def test_over_budget_no_fallback_chain_takes_over() -> None:
    # Whoever may fall back in an outage may not for want of money.
    item = an_item(
        floor=OPEN, max_cost=NanoUSD(1), fallback=Fallback(on_outage=OPEN, on_throttle=OPEN)
    )
    error = choose(item, SIGNALS, policy_of([LOW, MID, TOP]), Conditions(0, {}, WELL_KNOWN))
    assert isinstance(error, CostCeilingExceeded)


def test_an_answer_of_another_model_than_was_asked_for_is_never_taken_for_its_own() -> None:
    assert same_model("gpt-4o", "gpt-4o-2024-08-06")
    assert not same_model("gpt-4o", "gpt-4o-mini")
    assert must_be_the_asked(None, None)


def test_where_no_candidate_fits_the_cheapest_is_not_taken_instead() -> None:
    error = choose(
        an_item(floor=FRONTIER), SIGNALS, policy_of([LOW, MID]), Conditions(0, {}, WELL_KNOWN)
    )
    assert isinstance(error, NoRoute)


def test_where_no_answer_passes_the_last_one_is_not_returned() -> None:
    policy = policy_of([LOW, MID])
    assert after_rejection((GPU, OPEN), policy, "t", Sensitivity.INTERNAL) is None
    error = choose(an_item(refused_by=(GPU, OPEN)), SIGNALS, policy, Conditions(0))
    assert isinstance(error, NoRoute)


def test_where_every_breaker_is_open_none_is_bypassed() -> None:
    away = dict.fromkeys(("low", "mid", "top"), "outage")
    route = choose(
        an_item(floor=OPEN), SIGNALS, policy_of([LOW, MID, TOP]), Conditions(0, away, WELL_KNOWN)
    )
    assert isinstance(route, Route)
    assert (route.deployment, route.waits_for) == ("mid", "outage")


def test_no_fallback_crosses_the_privacy_boundary() -> None:
    guarded = an_item(sensitivity=Sensitivity.REGULATED)
    route = choose(
        guarded, SIGNALS, policy_of([LOW, THEIRS]), Conditions(0, {"low": "outage"}, WELL_KNOWN)
    )
    assert isinstance(route, Route)
    assert (route.deployment, route.waits_for) == ("low", "outage")


def test_however_good_a_lower_tier_has_been_the_floor_holds() -> None:
    route = choose(
        an_item(floor=FRONTIER),
        SIGNALS,
        policy_of([LOW, MID, TOP]),
        Conditions(0, {}, WELL_KNOWN),
    )
    assert isinstance(route, Route)
    assert route.deployment == "top"
