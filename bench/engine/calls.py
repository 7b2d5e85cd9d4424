"""The call that a worker makes of a row, for an engine with nothing around it."""

from typing import Any

from bench.engine.load import DEPLOYMENT, TASK, note
from tierqueue.ledger.lifecycle.claims import Claim
from tierqueue.ledger.records import Fence, Item
from tierqueue.router.money import NanoUSD
from tierqueue.router.policy.policy import Policy
from tierqueue.workers.engines.engine import Call
from tierqueue.workers.request import prepare


def call_of(policy: Policy, arguments: dict[str, Any]) -> Call:
    """The call that a worker makes of a row."""
    fixed: dict[str, Any] = {
        **dict.fromkeys(Item._fields),
        "id": "bench",
        "task": TASK,
        "output_limit": 256,
        "sensitivity": "internal",
        "fence": 0,
        "calls": 0,
    }
    claim = Claim(
        item=Item(**fixed),
        arguments=note.checked_arguments((), arguments),
        fence=Fence(1),
        held=NanoUSD(0),
        balances=(),
        started_at=0,
    )
    call = prepare(policy.deployments[DEPLOYMENT], claim, note)
    assert isinstance(call, Call), call
    return call
