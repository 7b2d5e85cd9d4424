"""What a deployment states of itself, and what follows from it."""

import json
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from tests.router.specs import FRONTIER, GPU, a_spec, an_item, policy_of, policy_text
from tierqueue.router.choose import Conditions, choose
from tierqueue.router.errors import InvalidPolicy
from tierqueue.router.item import Sensitivity
from tierqueue.router.policy.policy import parse_policy
from tierqueue.router.route import Route
from tierqueue.router.signals import Signals


def test_a_model_made_for_some_task_types_gets_no_other() -> None:
    small, large = a_spec("small"), a_spec("large", FRONTIER)
    table = f"[deployments.{small['name']}]\n"
    policy = parse_policy(
        policy_text([small, large]).replace(table, f'{table}tasks = ["tickets.sort"]\n'),
        "test",
    )
    item = an_item(sensitivity=Sensitivity.PUBLIC, floor=GPU)
    found = {
        task: choose(replace(item, task=task), Signals(100, 10), policy, Conditions(now=0))
        for task in ("tickets.sort", "tickets.answer")
    }
    chosen = {task: route.deployment for task, route in found.items() if isinstance(route, Route)}
    assert chosen == {"tickets.sort": small["name"], "tickets.answer": large["name"]}
    elsewhere = found["tickets.answer"]
    assert isinstance(elsewhere, Route)
    assert [(one.rule, one.why) for one in elsewhere.refusals] == [
        ("task_type", "it does tickets.sort and nothing else")
    ]


def test_a_deployment_that_states_no_task_types_has_the_terms_of_an_older_release() -> None:
    (deployment,) = policy_of([a_spec("house")]).deployments.values()
    later = {"tasks", "top_logprobs", "profile", "logprobs_parameter", "prompt_cache"}
    later |= {"temperature", "batch", "served_model"}
    later |= {"connect_timeout", "first_token_timeout", "stream_usage", "redact", "flex"}
    later |= {"vision", "image_tokens", "candidate", "adapters", "account"}
    said = deployment.model_dump(exclude={"policy", *later}, mode="python")
    for later_limit in ("input_tokens_per_minute", "output_tokens_per_minute", "requests_per_day"):
        del said["limits"][later_limit]
    assert deployment.terms == sha256(repr(sorted(said.items())).encode()).hexdigest()[:12]


API: dict[str, Any] = {
    "tier": "frontier",
    "profile": "openai",
    "model": "gpt-5-mini",
    "context_window": 400_000,
}


@pytest.mark.parametrize(
    ("stated", "why"),
    [
        ({"first_token_timeout": 60.0}, "not below timeout"),
        ({"first_token_timeout": 5.0, "stream_usage": "none"}, "streams that tell what they cost"),
        ({"first_token_timeout": 0.0}, "first_token_timeout"),
        ({"connect_timeout": 0.0}, "connect_timeout"),
    ],
)
def test_times_that_cannot_hold_are_refused(stated: dict[str, Any], why: str) -> None:
    stated = {**API, **stated}
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in stated.items())
    prices = 'prices = { input = "5", output = "25" }\n'
    with pytest.raises(InvalidPolicy, match=why):
        parse_policy(f"[deployments.d]\n{lines}{prices}", "test")


def test_what_two_deployments_have_worked_out_is_no_part_of_whether_they_are_equal() -> None:
    one, same = (policy_of([a_spec("house")]).deployments["house"] for _ in range(2))
    for deployment in (one, same):
        assert deployment.batched is deployment.in_batch is deployment.in_flex is deployment
    assert one == same
    assert hash(one) == hash(same)
    slower = one.model_copy(update={"timeout": one.timeout + 1})
    assert slower != one
    assert one != "house"
