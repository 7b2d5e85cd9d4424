"""The example of a team's own task type: it is declared, checked and done like ours."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from examples.triage import Triage, triage
from tierqueue.router.errors import InvalidItem
from tierqueue.tasks import Accepted, Rejected

ROOT = Path(__file__).resolve().parents[2]
STUCK = "The lift is stuck between two floors."


def test_the_task_type_has_its_name_its_arguments_and_its_demands() -> None:
    item = triage.new_item(("The lift is stuck.",), {}, item_id="i")
    assert (item.task, item.risk) == ("office.triage", "internal")
    assert item.arguments == {"ticket": "The lift is stuck.", "reason_words": 3}
    assert item.deadline is not None


def test_a_call_without_a_ticket_is_refused() -> None:
    with pytest.raises(InvalidItem, match="ticket"):
        triage.new_item((), {"ticket": ""}, item_id="i")


def test_the_prompt_holds_the_ticket_behind_what_all_tickets_share() -> None:
    prompt = triage(STUCK, reason_words=4)
    assert "at least 4 words" in prompt.question
    assert STUCK in prompt.question
    assert STUCK not in prompt.prefix


def test_an_answer_of_the_right_form_is_accepted() -> None:
    answer = {"urgency": "today", "team": "building", "reason": "stuck"}
    verdict = triage.validate(json.dumps(answer), STUCK)
    assert isinstance(verdict, Accepted)
    assert Triage.model_validate(verdict.output).team == "building"


def test_an_alarm_that_does_not_say_why_is_doubtful() -> None:
    alarm = {"urgency": "now", "team": "building", "reason": "because"}
    verdict = triage.validate(json.dumps(alarm), STUCK)
    assert isinstance(verdict, Rejected)
    assert verdict.reason == "low_confidence"


@pytest.mark.processes
def test_the_command_finds_it_through_the_settings() -> None:
    policy = ROOT / "examples" / "demo" / "tierqueue.toml"
    words = ["route", "--task", "office.triage", "--arg", "ticket=The lift is stuck."]
    words += ["--sensitivity", "internal", "--json"]
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
    assert json.loads(done.stdout)["route"]["tier"] == "open_weight"
