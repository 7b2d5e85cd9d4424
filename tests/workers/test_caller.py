"""What a reply is worth for an item: validated, or refused for being another model's."""

from typing import Any

import pytest

from tests.ledger.claimed import a_claim, an_item
from tierqueue.router.outcome import Accepted, Completed, Failed, Outcome, Rejected, Usage
from tierqueue.router.policy.deployment import Deployment
from tierqueue.tasks.kinds.complete import complete
from tierqueue.workers.caller import judge

USAGE = Usage(input_tokens=10, output_tokens=5)


def deployment(**stated: Any) -> Deployment:
    return Deployment.model_validate(
        {
            "name": "best",
            "policy": "p",
            "tier": "frontier",
            "engine": "anthropic",
            "model": "claude-sonnet-4-5",
            "boundary": "vendor:v",
            "key_env": "KEY",
            "context_window": 1000,
            "prices": {"input": "1", "output": "2"},
            **stated,
        }
    )


def judged(served: str, risk: str | None, floor: str = "gpu", **stated: Any) -> Outcome:
    item = an_item(task=complete.name, risk=risk, floor=floor)
    claim = a_claim(item, arguments={"prompt": "p"})
    reply = Completed(text="yes", usage=USAGE, model_served=served)
    return judge(reply, claim, complete, deployment(**stated))


@pytest.mark.parametrize("risk", ["customer_facing", "auto_applied", None])
def test_another_models_answer_is_refused_and_billed_where_a_wrong_one_hurts(
    risk: str | None,
) -> None:
    outcome = judged("claude-haiku-tiny", risk)
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, outcome.usage) == ("wrong_model", USAGE)
    assert outcome.model_served == "claude-haiku-tiny"
    assert isinstance(judged("claude-haiku-tiny", "internal", "frontier"), Rejected)


def test_elsewhere_it_is_accepted_and_marked() -> None:
    outcome = judged("claude-haiku-tiny", "internal")
    assert isinstance(outcome, Accepted)
    assert outcome.completed.other_model


@pytest.mark.parametrize("served", ["claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4.5"])
def test_the_same_model_under_another_name_is_accepted_and_not_marked(served: str) -> None:
    outcome = judged(served, "auto_applied")
    assert isinstance(outcome, Accepted)
    assert not outcome.completed.other_model


def test_names_that_the_deployment_lists_are_the_same_model() -> None:
    outcome = judged("own-name", "auto_applied", served_as=["own-*"])
    assert isinstance(outcome, Accepted)
    assert not outcome.completed.other_model


def test_a_check_that_raises_is_the_task_types_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise LookupError("SSN 078-05-1120")

    monkeypatch.setattr("tierqueue.workers.caller.validate", broken)
    outcome = judged("claude-sonnet-4-5", "internal")
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.usage, outcome.transient) == ("task_code", USAGE, False)
    assert "078" not in outcome.message
