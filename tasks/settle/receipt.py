"""The receipt of an answer: who gave it, why, for what, and what the item has cost in all."""

from typing import Any

from tierqueue.ledger.records import Item
from tierqueue.router.money import NanoUSD, format_usd
from tierqueue.router.outcome import Accepted
from tierqueue.router.policy.deployment import Deployment


def receipt_of(
    item: Item, deployment: Deployment, accepted: Accepted, cost: NanoUSD
) -> dict[str, Any]:
    """What an accepted answer says of itself; ``cost`` of its own call, in nano-dollars."""
    done, usage = accepted.completed, accepted.completed.usage
    spent = item.spent + cost
    return {
        "item": item.id,
        "task": item.task,
        "tier": deployment.tier.value,
        "deployment": deployment.name,
        "model_asked": deployment.model,
        "model_served": done.model_served,
        "other_model": done.other_model,
        "attempts": item.calls + 1,
        "tokens": {
            "input": usage.total_input,
            "output": usage.output_tokens,
            "estimated": usage.estimated,
        },
        "cost": format_usd(spent),
        "cost_nanousd": spent,
        "seconds": round(done.seconds, 6),
        "confidence": done.confidence,
        "why": (item.route or {}).get("reasons", []),
        "prompt_version": item.prompt or accepted.prompt_version,
        "sensitivity": item.sensitivity,
        "degraded_from": item.degraded,
        "stands_in_for": (item.route or {}).get("stands_in_for"),
        "simulated": done.simulated,
        **({} if item.purpose is None else {"purpose": item.purpose, "second_to": item.second_to}),
        **({"predictor": version} if (version := (item.route or {}).get("predictor")) else {}),
        **({} if deployment.redact is None else {"redacted": done.redacted}),
        **({} if deployment.flex is None else {"service_tier": usage.service_tier}),
    }
