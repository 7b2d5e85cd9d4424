"""A model of the team's own is tried at the start, against each engine that may be given it."""

from collections.abc import Mapping
from typing import Any
from unittest.mock import Mock

import structlog
from pydantic import BaseModel

from tierqueue.router.policy.policy import parse_policy
from tierqueue.tasks import classify, complete, item_task
from tierqueue.tasks.submission.prompt import Prompt
from tierqueue.workers.engines.engine import Engine
from tierqueue.workers.engines.forms import GrammarGap, not_held

DEPLOYMENT = """
[deployments.{name}]
tier = "gpu"
engine = "vllm"
model = "small"
boundary = "house"
context_window = 32000
gpu_hour = "3.60"
tasks = {tasks}
"""
POLICY = parse_policy(
    DEPLOYMENT.format(name="own", tasks='["tests.note", "tierqueue.classify"]')
    + DEPLOYMENT.format(name="other", tasks='["tierqueue.classify"]'),
    "test",
)


class Note(BaseModel):
    code: str


@item_task("tests.note", output=Note)
def note(text: str) -> Prompt:
    """A note."""
    return Prompt(system="", prefix="", question=text)


class Narrow:
    """An engine whose grammar holds no code."""

    def not_held(self, schema: Mapping[str, Any]) -> str | None:
        return "code: pattern" if "code" in schema["properties"] else None


def test_what_an_engine_cannot_hold_is_said_of_the_types_that_may_come_to_it() -> None:
    types = {one.name: one for one in (note, classify, complete)}
    stations = [(POLICY.deployments[name], Narrow()) for name in ("own", "other")]
    with structlog.testing.capture_logs() as logged:
        found = not_held(stations, types)  # type: ignore[arg-type]
    assert found == [GrammarGap("tests.note", "own", "code: pattern")]
    assert [line["event"] for line in logged] == ["answer_not_held"]
    assert found[0].heartbeat_detail() == {
        "task": "tests.note",
        "deployment": "own",
        "part": "code: pattern",
    }


def test_an_engine_that_makes_no_grammar_itself_is_asked_nothing() -> None:
    assert not_held([(POLICY.deployments["own"], Mock(spec=Engine))], {"tests.note": note}) == []
