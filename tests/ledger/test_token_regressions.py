"""What users of other systems complain of about the price of tokens, and is not so here."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.router.specs import upper_bound
from tierqueue.router.outcome import (
    Usage,
)
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.policy import Policy
from tierqueue.router.pricing import charge
from tierqueue.router.signals import Signals
from tierqueue.workers.engines.anthropic import AnthropicEngine
from tierqueue.workers.engines.openai import OpenAIEngine

AT = datetime(2026, 11, 20, tzinfo=UTC)


def openai_usage(usage: dict[str, Any]) -> Usage:
    engine = OpenAIEngine(
        deployment="d", base_url="http://127.0.0.1:1", key="k", simulated=False, metered=True
    )
    return engine._bill({"usage": usage, "choices": []})


def test_cached_tokens_are_charged_once_and_at_their_own_price(policy: Policy) -> None:
    usage = openai_usage(
        {
            "prompt_tokens": 1000,
            "completion_tokens": 0,
            "prompt_tokens_details": {"cached_tokens": 800},
        }
    )
    assert charge(policy.deployments["best"], usage, AT).cost == 200 * 5_000 + 800 * 500


@pytest.mark.parametrize(("total", "billed"), [(150, 50), (190, 90)], ids=["inside", "beside"])
def test_reasoning_tokens_are_charged_once_whether_counted_inside_the_output_or_beside_it(
    policy: Policy, total: int, billed: int
) -> None:
    usage = openai_usage(
        {
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "total_tokens": total,
            "completion_tokens_details": {"reasoning_tokens": 40},
        }
    )
    assert charge(policy.deployments["best"], usage, AT).cost == 100 * 5_000 + billed * 25_000


def test_the_batch_price_is_not_lost() -> None:
    listed = Deployment.model_validate(
        {
            "name": "claude",
            "policy": "p",
            "tier": "frontier",
            "engine": "anthropic",
            "model": "claude-sonnet-4-5",
            "boundary": "vendor:anthropic",
            "key_env": "KEY",
            "context_window": 200_000,
            "genai_price": {"provider": "anthropic", "model": "claude-sonnet-4-5"},
        }
    )
    engine = AnthropicEngine(
        deployment="d", base_url="http://127.0.0.1:1", key="k", simulated=False, metered=True
    )
    told = {"input_tokens": 1001, "output_tokens": 101}
    costs = {}
    for tier in ("standard", "batch"):
        body = {"usage": {**told, "service_tier": tier}, "content": []}
        usage = engine._bill(body)
        costs[tier] = charge(listed, usage, AT).cost
    assert costs == {"standard": 1001 * 3_000 + 101 * 15_000, "batch": 1001 * 1_500 + 101 * 7_500}
    assert costs["batch"] < upper_bound(listed, Signals(1001, 101))
