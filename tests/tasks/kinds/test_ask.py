"""``ask``: no answer is accepted that rests on what its document does not say."""

import json
from typing import Any

import pytest

from sandbox.answering.answers import answer
from sandbox.wires.call import Call
from tierqueue.router.outcome import Accepted, Rejected
from tierqueue.tasks import ask
from tierqueue.tasks.answers import form
from tierqueue.tasks.kinds.ask import Answered

CONTRACT = "The rent is 900 euros a month.\nIt is paid on the first day\nof each month."


def judged(said: Any) -> Accepted | Rejected:
    return ask.validate(json.dumps(said), CONTRACT, question="When is the rent paid?")


@pytest.mark.parametrize(
    "said",
    [
        {"answer": "On the first.", "quotations": ["paid on the first day of each month"]},
        {"answer": None, "quotations": []},
    ],
)
def test_what_stands_in_the_document_is_accepted_and_so_is_that_it_does_not_say(said: Any) -> None:
    verdict = judged(said)
    assert isinstance(verdict, Accepted)
    assert verdict.output == said


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            {
                "answer": "On the first.",
                "quotations": ["on the first day of each", "paid on the last day of each month"],
            },
            "quotation 2 does not stand in the source",
        ),
        ({"answer": "On the first.", "quotations": []}, "it rests on no quotation"),
    ],
)
def test_what_is_made_up_is_refused_and_the_reason_holds_nothing_of_it(
    said: Any, reason: str
) -> None:
    verdict = judged(said)
    assert isinstance(verdict, Rejected)
    assert verdict.reasons == (reason,)


def test_that_it_does_not_say_rests_on_nothing() -> None:
    verdict = judged({"answer": None, "quotations": ["The rent is 900 euros a month."]})
    assert isinstance(verdict, Accepted)
    assert verdict.output == {"answer": None, "quotations": []}


def test_the_document_is_what_many_questions_share() -> None:
    first, second = ask(CONTRACT, question="When?"), ask(CONTRACT, question="How much?")
    assert CONTRACT in first.prefix
    assert first.shared("tierqueue.ask", "1") == second.shared("tierqueue.ask", "1")


def test_the_sandbox_quotes_what_it_was_given() -> None:
    text = "\n".join(f"Speaker {n}: this is what I said as number {n}." for n in range(200))
    for number in range(20):
        prompt = ask(text, question=f"What did speaker {number} say?")
        schema = form.schema_of(Answered)
        asked = prompt.prefix + prompt.question
        pieces = (prompt.system, asked)
        call = Call("openai", "open-small", pieces, asked, schema, wants_json=False, max_output=999)
        assert isinstance(
            ask.validate(answer(call), text, question=f"What did speaker {number} say?"), Accepted
        )
