"""Items that ask what another one asked, and the policy that lets them have its answer."""

from typing import Any

from tests.ledger.placed import place
from tests.tasks.routing.tickets import KNOWN, arguments
from tierqueue.ledger.session import Ledger
from tierqueue.router.policy.policy import Policy, parse_policy

HOUSE = """
default_sensitivity = "internal"

[deployments.house]
tier = "gpu"
engine = "vllm"
model = "small"
boundary = "house"
context_window = 8000
gpu_hour = "3.60"
"""
REUSE = """
[tasks."tierqueue.classify"]
reuse = "24h"
"""
RECEIPT = {
    "tier": "gpu",
    "deployment": "house",
    "model_asked": "small",
    "model_served": "small",
    "other_model": False,
    "confidence": 0.9,
    "degraded_from": None,
    "simulated": False,
    "cost": "$0.01",
    "cost_nanousd": 10_000_000,
}
"""What the former answer says of itself."""

ANSWER = {"label": "login", "confidence": 0.9}


def policy(more: str = REUSE) -> Policy:
    """One deployment of the house, whose answers may be reused."""
    return parse_policy(HOUSE + more, "test")


def asked(ledger: Ledger, text: str = KNOWN, **columns: Any) -> str:
    """A submitted item."""
    nowhere = dict.fromkeys(("tier", "deployment", "budget", "bound", "token_bound"))
    call = {"task": "tierqueue.classify", "arguments": arguments(text)}
    return place(ledger, "submitted", **{**nowhere, **call, **columns})
