"""A fallback on its whole way: routed, claimed, refused by the world, routed again, settled."""

import pytest
from sqlalchemy import update

from tests.tasks.routing.decide.way import Way
from tierqueue.ledger import tables
from tierqueue.ledger.session import Ledger
from tierqueue.router.item import Tier
from tierqueue.router.outcome import Accepted, Completed, Failed, Outcome, Throttled, Usage
from tierqueue.router.policy.policy import parse_policy

POLICY = """
default_sensitivity = "internal"
ceilings_count = "everything"

[tasks.ticket]
risk = "internal"
{fallback}

[deployments.house]
tier = "gpu"
engine = "vllm"
model = "small"
boundary = "house"
context_window = {window}
gpu_hour = "3.60"

[deployments.best]
tier = "frontier"
engine = "anthropic"
model = "best"
boundary = "vendor:acme"
key_env = "ACME_KEY"
context_window = 200000
prices = {{ input = "5", output = "25" }}

{more}
[retry]
calls = 1
"""
FALLEN_FROM_BEST = {"to": "gpu", "from": "best"}


def answered() -> Accepted:
    usage = Usage(input_tokens=10, output_tokens=10, engine_seconds=0.001)
    done = Completed(text="{}", usage=usage, model_served="m", seconds=0.1)
    return Accepted(output={"label": "x"}, completed=done, prompt_version="1")


def way(ledger: Ledger, fallback: str, *, more: str = "", window: int = 32_000) -> Way:
    return Way(
        ledger, parse_policy(POLICY.format(fallback=fallback, more=more, window=window), "test")
    )


REFUSED: dict[str, Outcome] = {
    "on_throttle": Throttled(after=1),
    "on_outage": Failed(kind="server error", message="503", transient=True),
}


def send_to_best(case: Way) -> None:
    """Routed to the frontier first, as where the house was not there when it was routed."""
    case.stage.round()
    with case.ledger.write() as connection:
        best = {"tier": Tier.FRONTIER.value, "deployment": "best"}
        bounds = {"bound": 10_000_000, "token_bound": 1000}
        chosen = update(tables.items).where(tables.items.c.id == case.item_id)
        connection.execute(chosen.values(state="routed", reason=None, **best, **bounds))


@pytest.mark.parametrize("event", REFUSED)
def test_a_call_refused_by_the_world_falls_back_and_its_receipt_says_so(
    ledger: Ledger, event: str
) -> None:
    case = way(ledger, f'{event} = "gpu"')
    case.submit()
    send_to_best(case)
    first = case.claim()
    assert first is not None
    assert first.item.deployment == "best"
    case.settle(first, REFUSED[event])
    second = case.claim()
    assert second is not None
    assert second.item.deployment == "house"
    case.settle(second, answered())
    assert case.column("state") == "succeeded"
    fallen = {**FALLEN_FROM_BEST, "on": event.removeprefix("on_")}
    assert case.column("receipt")["degraded_from"] == fallen
    assert case.column("held") == 0


@pytest.mark.parametrize("event", REFUSED)
def test_a_fallback_that_leads_nowhere_is_none(ledger: Ledger, event: str) -> None:
    case = way(ledger, f'{event} = "gpu"', window=200)
    case.submit()
    send_to_best(case)
    claim = case.claim()
    assert claim is not None
    case.settle(claim, REFUSED[event])
    assert case.column("degraded") is None
    # Throttling waits; an outage that used up the calls ends as itself, not as "no route".
    expected = ("waiting", "throttled") if event == "on_throttle" else ("dead", "exhausted")
    assert (case.column("state"), case.column("reason")) == expected


CEILING = '[[ceilings]]\nscope = "tier"\nname = "frontier"\nlimit = "0.000001usd"\n'


def test_a_ceiling_over_a_tier_sends_to_the_tier_that_was_allowed(ledger: Ledger) -> None:
    case = way(ledger, 'on_ceiling = "gpu"', more=CEILING)
    case.submit()
    send_to_best(case)
    assert case.claim() is None
    assert case.column("state") == "submitted"
    claim = case.claim()
    assert claim is not None
    assert claim.item.deployment == "house"
    case.settle(claim, answered())
    told = case.column("receipt")["degraded_from"]
    assert {name: told[name] for name in ("to", "from", "on")} == {
        **FALLEN_FROM_BEST,
        "on": "ceiling",
    }
    assert told["refused"]["ceiling"].startswith("tier:frontier")


def test_a_ceiling_whose_fallback_has_no_route_is_what_the_item_died_of(ledger: Ledger) -> None:
    case = way(ledger, 'on_ceiling = "gpu"', more=CEILING, window=200)
    case.submit()
    send_to_best(case)
    assert case.claim() is None
    assert case.claim() is None
    assert (case.column("state"), case.column("reason")) == ("dead", "cost_ceiling")
    fields = case.column("error")["fields"]
    assert fields["ceiling"].startswith("tier:frontier")
    assert fields["needed"] > fields["limit"]


def test_an_item_s_own_limit_ends_it_as_a_ceiling_whatever_it_may_fall_to(ledger: Ledger) -> None:
    case = way(ledger, 'on_ceiling = "gpu"')
    case.submit(max_cost=1)
    assert case.claim() is None
    assert (case.column("state"), case.column("reason")) == ("dead", "cost_ceiling")
    assert case.column("error")["fields"]["ceiling"] == f"item:{case.item_id}"


def test_throttling_waits_where_the_policy_puts_the_floor_above_the_fallback(
    ledger: Ledger,
) -> None:
    floors = '[[floors]]\nrisk = "auto_applied"\nfloor = "frontier"\n'
    case = way(ledger, 'on_throttle = "gpu"', more=floors)
    case.submit(risk="auto_applied", fallback={"on_throttle": "gpu"})
    claim = case.claim()
    assert claim is not None
    assert claim.item.deployment == "best"
    case.settle(claim, Throttled(after=1))
    assert (case.column("state"), case.column("reason")) == ("waiting", "throttled")
