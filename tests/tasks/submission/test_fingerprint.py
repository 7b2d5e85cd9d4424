"""Fingerprints: what changes an answer changes them, and nothing else does."""

from typing import Any

import pytest

from tierqueue.tasks import classify, complete
from tierqueue.tasks.submission import fingerprint

ASKED: dict[str, Any] = {"text": "My card", "labels": ["a", "b"]}


def _of(task: Any = classify, **call: Any) -> str:
    return fingerprint.of_item(task, task.new_item((), call, item_id="x"))


@pytest.mark.parametrize(
    "other",
    [
        {"text": "My cat"},
        {"labels": ["a", "b", "c"]},
        {"instructions": "Be strict."},
        {"min_confidence": 0.5},
        {"risk": "auto_applied"},
        {"sensitivity": "regulated"},
        {"floor": "frontier"},
        {"max_cost": "1usd"},
        {"on_ceiling": "gpu"},
        {"budget": "acme"},
    ],
)
def test_what_can_change_the_answer_or_who_may_see_it_is_another_question(
    other: dict[str, Any],
) -> None:
    assert _of(**{**ASKED, **other}) != _of(**ASKED)


@pytest.mark.parametrize(
    "other",
    [{"priority": 9}, {"deadline": "5m"}, {"latency": "interactive"}, {"metadata": {"k": 1}}],
)
def test_when_and_for_whom_is_the_same_question(other: dict[str, Any]) -> None:
    assert _of(**ASKED, **other) == _of(**ASKED)


def test_another_task_type_or_prompt_version_is_another_question(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = _of(complete, prompt="x")
    assert before != _of(**ASKED)
    monkeypatch.setattr(type(complete), "prompt_version", "99")
    assert _of(complete, prompt="x") != before


def test_a_row_is_what_answers_can_depend_on() -> None:
    row = {"text": "x", "note": 1, "priority": "9"}
    assert fingerprint.of_row(row, None) == fingerprint.of_row({**row, "priority": "1"}, None)
    assert fingerprint.of_row(row, None) != fingerprint.of_row({**row, "note": 2}, None)
    assert fingerprint.of_row(row, "text") == fingerprint.of_row({**row, "note": 2}, "text")
    assert fingerprint.of_row({}, "text") != fingerprint.of_row({"text": ""}, "text")
    assert fingerprint.of_row({"text": "\ud800"}, "text")
