"""``combine`` quotes what was quoted, and nothing else."""

import json
from typing import Any

import pytest

from sandbox.answering.answers import answer
from sandbox.wires.call import Call
from tierqueue.router.outcome import Accepted, Rejected
from tierqueue.tasks.answers import form
from tierqueue.tasks.kinds import combine
from tierqueue.tasks.kinds.ask import Answered

FINDINGS: list[Any] = [
    {"answer": "900 euros.", "quotations": ["The rent is\n900 euros a month."]},
    {"answer": None, "quotations": []},
    {"answer": "On the first.", "quotations": ["It is paid on the first day of each month."]},
]
QUESTION = "How much is the rent, and when is it due?"


@pytest.mark.parametrize(
    ("quotation", "verdict"),
    [
        ("The rent is 900 euros", Accepted),
        ("paid on the first day of each month", Accepted),
        ("900 euros a month. It is paid on the first day", Rejected),
        ("900 euros. On the first.", Rejected),
    ],
)
def test_a_quotation_is_part_of_one_that_was_looked_up(quotation: str, verdict: type) -> None:
    said = {"answer": "900 euros, on the first.", "quotations": [quotation]}
    assert isinstance(combine.validate(json.dumps(said), FINDINGS, question=QUESTION), verdict)


def test_the_prompt_tells_findings_and_leaves_out_what_found_nothing() -> None:
    asked = combine(FINDINGS, question=QUESTION).question
    assert "Finding: 900 euros.\n> The rent is 900 euros a month.\nFinding: On the first." in asked
    assert "says anything" in combine(FINDINGS[1:2], question=QUESTION).question


@pytest.mark.parametrize(
    "said",
    [
        {"answer": None, "quotations": []},
        {"answer": "On the first.", "quotations": ["It is paid on the first day of it."]},
        {"answer": None, "quotations": ["The rent is 900 euros"], "why": "It is."},
    ],
)
def test_what_no_part_says_the_document_does_not_say_whatever_a_model_makes_up(said: Any) -> None:
    verdict = combine.validate(json.dumps(said), FINDINGS[1:2], question=QUESTION)
    assert isinstance(verdict, Accepted)
    assert verdict.output == {"answer": None, "quotations": []}


def test_the_sandbox_says_so_too() -> None:
    prompt = combine(FINDINGS[1:2], question=QUESTION)
    model = combine.output_model({"findings": FINDINGS[1:2], "question": QUESTION})
    assert model is not None
    pieces = (prompt.system, prompt.question)
    call = Call(
        *("openai", "m", pieces, prompt.question, form.schema_of(model)),
        wants_json=False,
        max_output=999,
    )
    verdict = combine.validate(answer(call), FINDINGS[1:2], question=QUESTION)
    assert isinstance(verdict, Accepted)
    assert verdict.output["answer"] is None


def test_the_sandbox_quotes_what_was_quoted() -> None:
    prompt = combine(FINDINGS, question=QUESTION)
    schema = form.schema_of(Answered)
    pieces = (prompt.system, prompt.question)
    call = Call("openai", "m", pieces, prompt.question, schema, wants_json=False, max_output=999)
    assert isinstance(combine.validate(answer(call), FINDINGS, question=QUESTION), Accepted)
