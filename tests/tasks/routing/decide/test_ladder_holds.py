"""Whatever goes wrong: who serves an item stands at its floor, in its boundary, for its money."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.drawing import examples
from tests.tasks.routing.decide.way import Way
from tierqueue.ledger.accounting import audit
from tierqueue.ledger.lifecycle.claims import Claim
from tierqueue.ledger.session import Ledger
from tierqueue.router.item import TIERS, Sensitivity, Tier
from tierqueue.router.outcome import (
    Accepted,
    Completed,
    Failed,
    Interrupted,
    Outcome,
    Rejected,
    Throttled,
    Unavailable,
    Unknown,
    Usage,
)
from tierqueue.router.policy.policy import Policy, parse_policy

RULES = """
default_sensitivity = "internal"
ceilings_count = "everything"
[retry]
calls = 4
[[floors]]
risk = "auto_applied"
floor = "open_weight"
"""
DEPLOYMENT = """
[deployments.d{number}]
tier = "{tier}"
engine = "openai"
model = "m"
key_env = "KEY"
boundary = "{boundary}"
context_window = 32000
prices = {{ input = "{price}", output = "{price}" }}
"""
DEPLOYMENTS = st.lists(
    st.fixed_dictionaries(
        {
            "tier": st.sampled_from([tier.value for tier in TIERS]),
            "boundary": st.sampled_from(["house", "vendor:v"]),
            "price": st.sampled_from([1, 10]),
        }
    ),
    min_size=1,
    max_size=5,
)
DEMANDS = st.fixed_dictionaries(
    {
        "risk": st.sampled_from([None, "internal", "auto_applied"]),
        "sensitivity": st.sampled_from([None, *(level.value for level in Sensitivity)]),
        "floor": st.sampled_from([None, *(tier.value for tier in TIERS)]),
        "max_cost": st.sampled_from([None, 700_000, 2_000_000, 20_000_000]),
    }
)
ENDS = ("accepted", "rejected", "unsure", "too_small", "failed", "throttled", "away", "unknown")
FAULTS = st.lists(st.sampled_from([*ENDS, "interrupted", "lost"]), max_size=8)


def outcome(name: str, claim: Claim) -> Outcome:
    """An end of a call that cost all that it was bounded by, where it cost anything."""
    route = claim.item.route or {}
    usage = Usage(input_tokens=route["input_tokens"], output_tokens=route["output_tokens"])
    done = Completed(text="{}", usage=usage, model_served="m", seconds=0.5)
    refused: dict[str, Any] = {"reasons": ("no",), "usage": usage, "model_served": "m"}
    ends: dict[str, Outcome] = {
        "accepted": Accepted(output={"a": 1}, completed=done, prompt_version="1"),
        "rejected": Rejected(**refused),
        "unsure": Rejected(**refused, reason="low_confidence", confidence=0.2),
        "too_small": Failed(kind="400", message="m", transient=False, reason="context_window"),
        "failed": Failed(kind="500", message="m", transient=True, usage=usage),
        "throttled": Throttled(after=1.0),
        "away": Unavailable(kind="outage", message="m"),
        "unknown": Unknown(kind="timeout", message="m"),
        "interrupted": Interrupted(kind="drain", usage=usage),
    }
    return ends[name]


def policy_of(deployments: list[dict[str, Any]]) -> Policy:
    text = "".join(DEPLOYMENT.format(number=n, **one) for n, one in enumerate(deployments))
    return parse_policy(RULES + text, "test")


@settings(max_examples=examples(40), deadline=None, suppress_health_check=list(HealthCheck))
@given(DEPLOYMENTS, DEMANDS, FAULTS)
def test_who_serves_an_item_stands_at_its_floor_within_its_boundary_and_its_money(
    ledger: Ledger, deployments: list[dict[str, Any]], demands: dict[str, Any], faults: list[str]
) -> None:
    policy = policy_of(deployments)
    way = Way(ledger, policy)
    way.submit(**demands)
    floors = [demands["floor"], "open_weight" if demands["risk"] == "auto_applied" else "gpu"]
    floor = max(TIERS.index(Tier(name)) for name in floors if name)
    guarded = demands["sensitivity"] in ("confidential", "regulated")
    before = floor
    for fault in [*faults, "accepted"]:
        claim = way.claim()
        if claim is None:
            break
        at = policy.deployments[str(claim.item.deployment)]
        # Never lower than its floor, nor than whoever was asked before.
        assert TIERS.index(at.tier) >= before
        assert at.tier.value not in (claim.item.refused_by or ())
        assert at.boundary == "house" or not guarded
        if demands["max_cost"] is not None:
            assert way.column("spent") + claim.held <= demands["max_cost"]
        before = TIERS.index(at.tier)
        if fault == "lost":
            way.lose(60_000_000)
        else:
            way.settle(claim, outcome(fault, claim))
    if demands["max_cost"] is not None:
        assert way.column("spent") + way.column("held") <= demands["max_cost"]
    if way.column("state") == "succeeded":
        receipt = way.column("receipt")
        served = policy.deployments[receipt["deployment"]]
        assert receipt["tier"] == served.tier.value
        assert TIERS.index(served.tier) >= floor
        assert served.boundary == "house" or not guarded
    with ledger.read() as connection:
        assert audit.audit(connection) == []
