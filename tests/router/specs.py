"""Deployments and items for tests of the routing decision, with as little in them as can be."""

from datetime import date
from typing import Any

from tierqueue.router.item import TIERS, Demands, Sensitivity, Tier, WorkItem
from tierqueue.router.money import NanoUSD
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.policy import Policy, parse_policy
from tierqueue.router.pricing import max_rate
from tierqueue.router.signals import Signals

GPU, OPEN, FRONTIER = TIERS
Spec = dict[str, Any]


def policy_of(specs: list[Spec], more: str = "") -> Policy:
    return parse_policy(policy_text(specs) + more, "test")


def policy_text(specs: list[Spec]) -> str:
    text = ""
    for spec in specs:
        engine = "vllm" if spec["boundary"] == "house" else "openai"
        text += f'[deployments.{spec["name"]}]\nmodel = "m"\nengine = "{engine}"\n'
        text += f'tier = "{spec["tier"]}"\nboundary = "{spec["boundary"]}"\n'
        text += f"context_window = {spec['window']}\n"
        if engine != "vllm":
            text += 'key_env = "KEY"\n'
        if spec["price"] is not None:
            price = spec["price"]
            text += f'prices = {{ input = "{price[0]}", output = "{price[1]}" }}\n'
        text += f"reasoning_tokens = {spec['reasoning']}\n"
        if "top_logprobs" in spec:
            text += f"top_logprobs = {spec['top_logprobs']}\n"
        if "account" in spec:
            text += f'account = "{spec["account"]}"\n'
        if spec["per_minute"] is not None:
            text += f"limits = {{ tokens_per_minute = {spec['per_minute']} }}\n"
    return text


def a_spec(name: str, tier: Tier = GPU, **stated: Any) -> Spec:
    plain = {"boundary": "house", "window": 8192, "price": ("1", "2"), "per_minute": None}
    plain["reasoning"] = 0
    return plain | {"name": name, "tier": tier.value} | stated


def an_item(**stated: Any) -> WorkItem:
    own: dict[str, Any] = {"sensitivity": Sensitivity.INTERNAL, "floor": GPU}
    for key in ("sensitivity", "floor", "max_cost", "budget", "fallback"):
        if key in stated:
            own[key] = stated.pop(key)
    plain: dict[str, Any] = {"id": "i-1", "task": "t", "prompt_bytes": 0, "output_limit": 0}
    return WorkItem(**(plain | {"demands": Demands(**own)} | stated))


def upper_bound(deployment: Deployment, signals: Signals, since: date = date.min) -> NanoUSD:
    """The most a call can cost that keeps within ``signals``, by prices in force from ``since``."""
    most = max_rate(deployment, since)
    return most.bound(signals.input_tokens_bound, signals.output_tokens_bound)
