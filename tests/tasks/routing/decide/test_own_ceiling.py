"""An item's own max_cost at the claim: another deployment that fits, or the end, never a circle."""

from typing import NamedTuple

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.drawing import examples
from tests.tasks.routing.decide.way import Way
from tierqueue.ledger.session import Ledger
from tierqueue.router.outcome import Failed, Outcome, Throttled, Usage
from tierqueue.router.policy.policy import parse_policy

HEAD = """
default_sensitivity = "internal"
ceilings_count = "everything"
[tasks.ticket]
risk = "internal"
[retry]
calls = {calls}
"""
BY_THE_TOKEN = """
[deployments.{name}]
tier = "open_weight"
engine = "openai"
model = "{name}"
boundary = "vendor:{name}"
key_env = "A_KEY"
context_window = 200000
prices = {{ input = "{price}", output = "{price}" }}
"""
BY_THE_HOUR = """
[deployments.house]
tier = "gpu"
engine = "vllm"
model = "small"
boundary = "house"
context_window = 32000
gpu_hour = "{price}"
timeout = 60
"""


class Call(NamedTuple):
    """How a call ends: ``used`` is its share of what was held, in thousandths."""

    throttled: bool
    used: int


def ends(call: Call, seconds: float) -> Outcome:
    if call.throttled:
        return Throttled(after=1)
    share = call.used / 1000
    tokens = round(900 * share)
    usage = Usage(input_tokens=tokens, output_tokens=0, engine_seconds=seconds * share)
    return Failed(kind="server_error", message="500", transient=True, usage=usage)


def test_what_no_longer_fits_where_it_was_routed_goes_where_it_fits(ledger: Ledger) -> None:
    """One item more costs nothing on one's own engine, so it is first; its hold is large."""
    prices = BY_THE_HOUR.format(price="3.60") + BY_THE_TOKEN.format(name="cheap", price="1")
    way = Way(ledger, parse_policy(HEAD.format(calls=3) + prices, "test"))
    way.submit(max_cost=70_000_000)
    first = way.claim()
    assert first is not None
    assert first.item.deployment == "house"
    way.settle(first, ends(Call(False, 400), 60.0))
    assert way.claim() is None
    assert (way.column("state"), way.column("spent")) == ("submitted", 24_000_000)
    second = way.claim()
    assert second is not None
    assert second.item.deployment == "cheap"
    [refused] = [why for why in way.column("route")["refusals"] if why["rule"] == "max_cost"]
    assert refused["deployment"] == "house"


@given(
    calls=st.integers(1, 4),
    prices=st.lists(st.integers(1, 40), min_size=1, max_size=3, unique=True),
    hour=st.one_of(st.none(), st.integers(1, 3_000)),
    max_cost=st.integers(1_000_000, 60_000_000),
    world=st.lists(st.builds(Call, st.booleans(), st.integers(0, 1000)), max_size=12),
)
@settings(
    max_examples=examples(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_an_item_that_no_longer_fits_is_called_elsewhere_or_dies_and_never_goes_in_a_circle(
    ledger: Ledger,
    calls: int,
    prices: list[int],
    hour: int | None,
    max_cost: int,
    world: list[Call],
) -> None:
    text = HEAD.format(calls=calls)
    for number, price in enumerate(prices):
        text += BY_THE_TOKEN.format(name=f"d{number}", price=price)
    if hour is not None:
        text += BY_THE_HOUR.format(price=hour / 1000)
    way = Way(ledger, parse_policy(text, "test"))
    way.submit(max_cost=max_cost)
    for call in [*world, *[Call(False, 1000)] * calls]:
        claim = way.claim()
        if claim is None and way.column("state") == "submitted":
            event("sent back")
            # The choice counts what the claim counted: the very next time it is called or ends.
            claim = way.claim()
            assert (claim is None) is (way.column("state") == "dead")
        if claim is None:
            break
        assert claim.held + way.column("spent") <= max_cost
        way.settle(claim, ends(call, 60.0))
    assert way.column("state") == "dead"
    assert way.column("held") == 0
    error = way.column("error")
    if error["reason"] == "cost_ceiling":
        event("died of its own ceiling")
        assert error["fields"]["ceiling"] == f"item:{way.item_id}"
        assert way.column("spent") + error["fields"]["needed"] > max_cost
    else:
        assert error["reason"] == "exhausted"
        assert way.column("calls") == calls
