"""The example of a team's own task type: it is declared, checked and done like ours."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from examples.triage import Triage, triage
from tierqueue.router.errors import InvalidItem
from tierqueue.router.outcome import Accepted, Completed, Rejected, Usage
from tierqueue.workers.validation import validate

ROOT = Path(__file__).resolve().parents[2]
ARGUMENTS = {"ticket": "The lift is stuck between two floors.", "reason_words": 3}


def answered(**answer: object) -> Completed:
    return Completed(text=json.dumps(answer), usage=Usage(), model_served="m")


def test_the_task_type_has_its_name_its_arguments_and_its_demands() -> None:
    item = triage.new_item(("The lift is stuck.",), {}, item_id="i")
    assert (item.task, item.risk) == ("office.triage", "internal")
    assert item.arguments == {"ticket": "The lift is stuck.", "reason_words": 3}
    assert item.deadline is not None


def test_a_call_without_a_ticket_is_refused() -> None:
    with pytest.raises(InvalidItem, match="ticket"):
        triage.new_item((), {"ticket": ""}, item_id="i")


def test_an_answer_of_the_right_form_is_accepted() -> None:
    answer = {"urgency": "today", "team": "building", "reason": "stuck"}
    assert isinstance(validate(triage, ARGUMENTS, answered(**answer)), Accepted)
    assert Triage.model_validate(answer).team == "building"


def test_an_alarm_that_does_not_say_why_is_doubtful() -> None:
    verdict = validate(
        triage, ARGUMENTS, answered(urgency="now", team="building", reason="because")
    )
    assert isinstance(verdict, Rejected)
    assert verdict.reason == "low_confidence"


def test_the_command_finds_it_through_the_settings() -> None:
    policy = ROOT / "examples" / "demo" / "tierqueue.toml"
    words = ["route", "--task", "office.triage", "--arg", "ticket=The lift is stuck.", "--json"]
    done = subprocess.run(
        [Path(sys.executable).parent / "tierqueue", *words],
        cwd=ROOT,
        env={"TIERQUEUE_IMPORTS": "examples.triage", "TIERQUEUE_POLICY": str(policy)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["route"]["tier"] == "gpu"
