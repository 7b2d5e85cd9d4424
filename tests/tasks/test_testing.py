"""The kit with which a team tests its task types."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from examples.triage import triage
from tierqueue.tasks import classify, complete, errors
from tierqueue.tasks.errors import InvalidItem
from tierqueue.tasks.testing import Call, answering, recorded

GOOD = {"urgency": "today", "team": "building", "reason": "It is stuck again."}


def test_a_task_type_runs_against_a_script() -> None:
    with answering({triage.name: [GOOD, json.dumps({**GOOD, "urgency": "now"})]}) as calls:
        first = triage.delay("The lift is stuck.")
        assert first.get().output.urgency == "today"
        assert triage.delay("It burns.").get().output.urgency == "now"
    assert [call.arguments["ticket"] for call in calls.asked] == ["The lift is stuck.", "It burns."]
    assert "The lift is stuck." in calls.asked[0].prompt.question
    receipt = first.get().receipt
    assert (receipt["simulated"], receipt["attempts"], receipt["item"]) == (True, 1, first.id)
    assert (first.state, first.successful(), first.ready()) == ("SUCCESS", True, True)


def test_an_answer_that_is_refused_is_asked_for_again() -> None:
    with answering({triage.name: ["no JSON", GOOD]}) as calls:
        assert triage.delay("The lift is stuck.").get().receipt["attempts"] == 2
    assert [call.attempt for call in calls.asked] == [1, 2]


def test_what_the_task_type_never_accepts_ends_as_it_would() -> None:
    with answering(lambda call: {"urgency": "soon"}, attempts=3) as calls:
        result = triage.delay("The lift is stuck.")
        with pytest.raises(errors.Rejected) as ended:
            result.get()
    assert len(calls.asked) == 3
    assert ended.value.fields["item"] == result.id
    assert (result.state, result.failed()) == ("FAILURE", True)


def test_a_function_answers_by_what_is_asked() -> None:
    def say(call: Call) -> dict[str, str]:
        return {"label": "billing" if "card" in call.arguments["text"] else "login"}

    with answering(say):
        answer = classify.delay("My card is lost", labels=["billing", "login"]).get()
    assert answer.output.label == "billing"


def test_it_is_awaited_as_any_other() -> None:
    async def ask() -> str:
        result = await complete.adelay("Say hello")
        return (await result.aget()).output.text

    with answering({complete.name: ["hello"]}):
        assert asyncio.run(ask()) == "hello"


def test_recorded_answers_are_told_by_their_arguments(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    lines = [
        {"task": complete.name, "arguments": {"prompt": "Say hello"}, "answer": "hello"},
        {"task": triage.name, "arguments": {"ticket": "Stuck."}, "answer": GOOD},
    ]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    with answering(recorded(path)):
        assert complete.delay("Say hello").get().output.text == "hello"
        assert triage.delay("Stuck.").get().output.team == "building"
        with pytest.raises(InvalidItem, match=r"has no answer to tierqueue\.complete with"):
            complete.delay("Say goodbye")


def test_a_line_that_is_no_record_is_named(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text('\n{"task": "nothing", "arguments": {}, "answer": ""}\n', encoding="utf-8")
    with pytest.raises(InvalidItem, match="line 2 is no recorded answer: KeyError: 'nothing'"):
        recorded(path)


def test_bad_input_is_refused_as_a_call_refuses_it() -> None:
    with answering({complete.name: []}):
        with pytest.raises(InvalidItem, match="prompt"):
            complete.delay("")
        with pytest.raises(InvalidItem, match=r"no more answers for tierqueue\.complete"):
            complete.delay("Say hello")
        with pytest.raises(InvalidItem, match="link needs a broker"):
            complete.apply_async(("x",), link=complete.s())
    with pytest.raises(InvalidItem, match="complet is no task type"), answering({"complet": []}):
        pass


def test_what_ends_an_item_can_be_an_answer_and_is_raised_by_get() -> None:
    spent = errors.CostCeilingExceeded("the budget is spent", {"ceiling": "budget:acme day"})
    with answering({complete.name: [spent]}):
        result = complete.delay("Say hello")
        with pytest.raises(errors.CostCeilingExceeded) as ended:
            result.get()
    assert ended.value.fields == {"ceiling": "budget:acme day"}
    assert result.failed()


def test_what_a_call_raises_can_be_an_answer_and_is_raised_by_the_call() -> None:
    away = errors.LedgerMismatch("not migrated")
    with answering({complete.name: [away]}), pytest.raises(errors.LedgerMismatch):
        complete.delay("Say hello")


@pytest.mark.processes
def test_neither_settings_nor_a_broker_nor_a_ledger_is_needed() -> None:
    program = """
from tierqueue.tasks import complete
from tierqueue.tasks.testing import answering
with answering({complete.name: ["hello"]}):
    assert complete.delay("Say hello").get().output.text == "hello"
"""
    clean = {name: value for name, value in os.environ.items() if "TIERQUEUE" not in name}
    clean["TIERQUEUE_BROKER_URL"] = "redis://127.0.0.1:1/0"
    subprocess.run(
        [sys.executable, "-W", "error", "-c", program], env=clean, check=True, timeout=60
    )
