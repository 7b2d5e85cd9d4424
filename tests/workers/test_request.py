"""What is asked of a deployment for a claimed item: its limit of output, and by which adapter."""

from typing import Any

import pytest

from tests.ledger.claimed import a_claim, an_item
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.policy import parse_policy
from tierqueue.tasks import complete
from tierqueue.workers.engines.engine import Call
from tierqueue.workers.engines.vllm.request import plain
from tierqueue.workers.request import prepare


def house(more: str = "") -> Deployment:
    text = f"""
[deployments.house]
tier = "gpu"
engine = "vllm"
model = "m"
boundary = "house"
context_window = 100000
gpu_hour = "1"
{more}
"""
    return parse_policy(text, "test").deployments["house"]


def asked(deployment: Deployment, limit: int, **stated: Any) -> Call:
    arguments = complete.checked_arguments(("Say hello",), {})
    item = an_item(task=complete.name, sensitivity="internal", output_limit=limit, **stated)
    call = prepare(deployment, a_claim(item, arguments=arguments), complete)
    assert isinstance(call, Call), call
    return call


@pytest.mark.parametrize(("thinks", "sent"), [("", 64), ("reasoning_tokens = 1000", 1064)])
def test_a_deployment_raises_the_limit_of_output_by_what_its_model_thinks(
    thinks: str, sent: int
) -> None:
    call = asked(house(thinks), 64)
    assert call.output_limit == sent


def test_no_more_is_asked_for_than_was_held_when_the_item_was_routed() -> None:
    call = asked(house("reasoning_tokens = 1000"), 64, route={"output_tokens": 500})
    assert call.output_limit == 500


@pytest.mark.engine
@pytest.mark.filterwarnings("ignore")  # vLLM and torch warn of their own future
def test_the_engine_is_given_that_limit() -> None:
    assert plain(asked(house("reasoning_tokens = 36"), 64), None)["max_tokens"] == 100


def test_a_task_type_is_answered_by_its_own_adapter_and_others_by_none() -> None:
    assert asked(house(), 64).adapter is None
    own = house('adapters = { "tierqueue.complete" = "/models/notes" }')
    assert asked(own, 64).adapter == "/models/notes"
    other = house('adapters = { "tierqueue.classify" = "/models/labels" }')
    assert asked(other, 64).adapter is None
