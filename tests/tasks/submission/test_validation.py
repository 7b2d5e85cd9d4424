"""What is accepted of an answer, and that the reasons against one hold nothing of it."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, field_validator

from tierqueue.router.outcome import Accepted, Completed, Rejected, Usage
from tierqueue.tasks.kinds.classify import Classification, classify
from tierqueue.tasks.kinds.complete import complete
from tierqueue.tasks.kinds.extract import extract
from tierqueue.tasks.results.plain import read
from tierqueue.tasks.submission.declare import item_task
from tierqueue.tasks.submission.prompt import Prompt
from tierqueue.tasks.submission.validation import validate

LABELS = {"text": "t", "labels": ["billing", "bug"], "instructions": "", "min_confidence": 0.7}
FREE = {"prompt": "p"}
SECRET = "SSN 078-05-1120\x1b[2J"


def done(text: str, finish: str = "stop", confidence: float | None = 0.8) -> Completed:
    return Completed(
        text=text, usage=Usage(), model_served="m", finish=finish, confidence=confidence
    )


def reasons_of(verdict: Accepted | Rejected) -> str:
    assert isinstance(verdict, Rejected), verdict
    return "; ".join(verdict.reasons)


@pytest.mark.parametrize(
    ("finish", "text", "reason"),
    [
        ("length", '{"label": "bu', "truncated"),
        ("length", '{"label": "' + "bug, " * 40, "repetition"),
        ("repetition", "bug bug", "repetition"),
        ("filtered", "", "withheld"),
        ("too_long", "", "context_window"),
        ("stop", "", "rejected"),
    ],
)
def test_how_an_answer_ended_is_the_reason_for_refusing_it(
    finish: str, text: str, reason: str
) -> None:
    verdict = validate(classify, LABELS, done(text, finish))
    assert isinstance(verdict, Rejected)
    assert verdict.reason == reason
    assert "bug" not in reasons_of(verdict)


THOUGHTS = [
    "<think>\nLet me see.\n</think>\n\n",
    "  <think></think>\n",
    "<thinking>hm</thinking>",
    "<seed:think>hm</seed:think>\n",
    "[THINK]hm {not json}[/THINK]",
    "◁think▷hm◁/think▷",
    "Okay, the user wants it.\n</think>\n\n",
    "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>",
]


@pytest.mark.parametrize("thought", THOUGHTS)
def test_what_a_model_says_to_itself_is_no_part_of_the_answer(thought: str) -> None:
    verdict = validate(complete, FREE, done(thought + "The lift is stuck."))
    assert isinstance(verdict, Accepted)
    assert verdict.output == {"text": "The lift is stuck."}
    verdict = validate(classify, LABELS, done(thought + json.dumps({"label": "bug"})))
    assert isinstance(verdict, Accepted)
    assert verdict.output == {"label": "bug", "confidence": 0.8}


@pytest.mark.parametrize("confidence", [None, 0.7, 1.0])
def test_a_label_is_told_with_the_confidence_of_the_call_or_none(confidence: float | None) -> None:
    verdict = validate(classify, LABELS, done('{"label":"bug"}', confidence=confidence))
    assert isinstance(verdict, Accepted)
    assert verdict.output == {"label": "bug", "confidence": confidence}


def test_a_confidence_below_the_least_is_a_doubt_and_a_wrong_label_is_wrong_all_the_same() -> None:
    verdict = validate(classify, LABELS, done('{"label":"bug"}', confidence=0.69))
    assert isinstance(verdict, Rejected)
    assert verdict.reason == "low_confidence"
    assert reasons_of(verdict) == "the confidence is below the 0.7 asked for"
    verdict = validate(classify, LABELS, done('{"label":"sales"}', confidence=0.69))
    assert isinstance(verdict, Rejected)
    assert verdict.reason == "rejected"


def test_a_number_that_a_model_states_of_itself_is_not_asked_for_and_not_taken() -> None:
    said = reasons_of(validate(classify, LABELS, done('{"label":"bug","confidence":1.0}')))
    assert said == "…: extra forbidden"


def test_what_older_workers_wrote_is_read_and_so_is_what_is_not_known() -> None:
    for confidence in (0.93, None):
        plain = {"label": "bug", "confidence": confidence}
        assert read(Classification, plain).confidence == confidence


@pytest.mark.parametrize(
    "text", ["<think>for ever", "[THINK]for ever", "<think>a</think>", "", " "]
)
@pytest.mark.parametrize(("task", "arguments"), [(complete, FREE), (classify, LABELS)])
def test_thoughts_without_an_answer_are_an_empty_answer(
    text: str, task: Any, arguments: Mapping[str, Any]
) -> None:
    assert reasons_of(validate(task, arguments, done(text))) == "the answer is empty"


@pytest.mark.parametrize(
    "text",
    [
        "Close it with the </think> tag, then go on.",
        "It writes <think>…</think> first.",
        "The <thinking> person.",
        "```\ncode\n```",
    ],
)
def test_a_free_text_that_speaks_of_thoughts_is_left_as_it_is(text: str) -> None:
    verdict = validate(complete, FREE, done(text))
    assert isinstance(verdict, Accepted)
    assert verdict.output == {"text": text}


def test_a_tag_inside_of_a_json_answer_is_left_as_it_is() -> None:
    answer = {"a": "first </think>\n then"}
    arguments = {"text": "t", "fields": {"a": "string"}, "instructions": ""}
    for text in (json.dumps(answer), "```json\n" + json.dumps(answer) + "\n```"):
        verdict = validate(extract, arguments, done(text))
        assert isinstance(verdict, Accepted)
        assert verdict.output == answer


def test_an_unknown_end_is_believed_where_the_form_proves_the_answer_whole() -> None:
    good = json.dumps({"label": "bug"})
    assert isinstance(validate(classify, LABELS, done(good, "other")), Accepted)
    assert isinstance(validate(complete, FREE, done("It is", "other")), Rejected)


def test_a_request_that_no_window_holds_dies_of_that() -> None:
    verdict = validate(complete, FREE, done("", "too_long"))
    assert isinstance(verdict, Rejected)
    assert verdict.reason == "context_window"


class Share(BaseModel):
    model_config = ConfigDict(extra="forbid")
    of: float


@item_task("tests.share", output=Share, output_limit=8)
def share(text: str) -> Prompt:
    return Prompt(system="s", prefix="", question=text)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_a_number_that_json_does_not_know_is_no_answer(number: str) -> None:
    said = reasons_of(validate(share, {"text": "t"}, done(f'{{"of": {number}}}')))
    assert said == "the answer holds a number that is not finite"
    arguments = {"text": "t", "fields": {"a": "number"}, "instructions": ""}
    assert reasons_of(validate(extract, arguments, done(f'{{"a": {number}}}')))


@pytest.mark.parametrize(
    "answer",
    [
        {"label": "bug", "confidence": 0.9, SECRET: 1},
        {"label": SECRET, "confidence": 0.9},
        {"label": "bug", "confidence": SECRET},
        {SECRET: SECRET},
        [SECRET],
        SECRET,
        {"label": "bug", "0.123": 0.123},
    ],
)
def test_no_key_and_no_value_of_an_answer_stands_in_a_reason(answer: Any) -> None:
    said = reasons_of(validate(classify, LABELS, done(json.dumps(answer))))
    for secret in ("078", "SSN", "\x1b", "0.123"):
        assert secret not in said
    assert said


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    names: dict[str, int]


class Pet(BaseModel):
    model_config = ConfigDict(extra="forbid")
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    note: str = ""

    @field_validator("note")
    @classmethod
    def _short(cls, note: str) -> str:
        if note:
            raise ValueError(f"what is {note}?")
        return note


def _quoting(_arguments: Mapping[str, Any], answer: Any) -> str | None:
    return f"not\x1b[31m {json.dumps(answer.model_dump())} \u202e but something else" + "x" * 999


@item_task("tests.pet", output=Pet, checks=[_quoting], output_limit=8)
def pet(text: str) -> Prompt:
    return Prompt(system="s", prefix="", question=text)


def test_a_reason_names_the_place_by_what_the_task_type_declares() -> None:
    said = {
        json.dumps(
            {"pet": {"kind": "dog", "names": {SECRET: "x"}}}
        ): "pet.dog.names.…: int parsing",
        json.dumps({"pet": {"kind": SECRET}}): "pet: union tag invalid",
        json.dumps(
            {"pet": {"kind": "cat"}, SECRET: 1}
        ): "pet.cat.lives: missing; …: extra forbidden",
        json.dumps({"pet": {"kind": "cat", "lives": 9}, "note": SECRET}): "note: value error",
    }
    for answer, reason in said.items():
        assert reasons_of(validate(pet, {"text": "t"}, done(answer))) == reason


def test_a_teams_own_check_cannot_quote_the_answer_or_steer_a_terminal() -> None:
    answer = {"pet": {"kind": "dog", "names": {"Wilhelmina Secret": 78051120}}, "note": ""}
    said = reasons_of(validate(pet, {"text": "t"}, done(json.dumps(answer))))
    assert said.startswith("not")
    assert "but something else" in said
    assert len(said) <= 300
    for secret in ("Wilhelmina", "78051120", "\x1b", "\u202e", "\n"):
        assert secret not in said


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(ANY_JSON)
def test_whatever_an_answer_is_it_is_judged_in_few_harmless_words(answer: Any) -> None:
    for task, arguments in ((classify, LABELS), (pet, {"text": "t"})):
        said = reasons_of(validate(task, arguments, done(json.dumps(answer))))
        assert said.replace("…", ".").isascii()
        assert said.isprintable()
        assert len(said) < 20 * 302
