"""References: a later call reads what an earlier one was given and answered, from the ledger."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from celery import chain, chord

from tests.tasks.producer import Producer
from tierqueue.ledger.operations.erasure import erase
from tierqueue.ledger.results.promises import Promise
from tierqueue.router.errors import InvalidItem
from tierqueue.tasks import answer_of, argument_of, complete, extract
from tierqueue.tasks.submission.intake import take_in
from tierqueue.tasks.submission.references import mentioned

pytestmark = [
    pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

LETTER = "Good morning, the lift in house 4 is stuck. " * 20


@pytest.fixture
def producer(producer_to: Callable[[str], Producer], ledger_url: str) -> Producer:
    return producer_to(ledger_url)


def test_a_later_call_has_what_an_earlier_one_was_given_and_answered(producer: Producer) -> None:
    first = complete.delay(LETTER, sensitivity="public")
    producer.answer(first.id, {"text": "It is stuck."}, sensitivity="public")
    again = complete.delay(argument_of(first, "prompt"))
    assert producer.item(again.id).arguments["prompt"] == LETTER
    more = complete.delay(answer_of(first.id))
    assert producer.item(more.id).arguments["prompt"] == "It is stuck."


def test_the_sensitivity_of_what_is_read_is_inherited(producer: Producer) -> None:
    first = complete.delay(LETTER, sensitivity="confidential")
    again = complete.delay(argument_of(first, "prompt"), sensitivity="public")
    assert producer.item(again.id).inherits == "confidential"
    unstated = complete.delay(LETTER)
    again = complete.delay(argument_of(unstated, "prompt"), sensitivity="public")
    assert producer.item(again.id).inherits == "regulated"


def test_a_chain_carries_ids_and_no_texts(producer: Producer, valkey: Any) -> None:
    step = complete.s(LETTER, sensitivity="public").set(task_id="first")
    last = chain(step, extract.si(argument_of("first", "prompt"), {"n": "integer"})).apply_async()
    producer.tell(producer.answer("first", {"text": "Yes."}))
    assert producer.item(last.id).arguments["text"] == LETTER
    client = valkey.client()
    kept = b" ".join(client.dump(key) or b"" for key in client.scan_iter())
    client.close()
    assert LETTER[:40].encode() not in kept


def test_references_among_several_arguments_are_read_too(producer: Producer) -> None:
    parts = [complete.s(word).set(task_id=word) for word in ("one", "two")]
    body = complete.si([answer_of("one"), answer_of("two")])
    asked = chord(parts, body).apply_async()
    for word in ("one", "two"):
        producer.tell(producer.answer(word, {"text": word.upper()}))
    assert producer.item(asked.id).arguments["prompt"] == "ONE\n\nTWO"


def test_what_cannot_be_read_is_refused_with_the_argument_that_asks_for_it(
    producer: Producer,
) -> None:
    first = complete.delay(LETTER)
    for reference, complaint in (
        (answer_of("nobody"), "there is no call nobody"),
        (answer_of(first), "has no answer to read, it is submitted"),
        (argument_of(first, "text"), "was given no 'text', it has prompt"),
    ):
        with pytest.raises(InvalidItem, match=complaint) as caught:
            complete.delay(prompt=reference)
        assert "argument prompt" in caught.value.message
    assert len(producer.all_items()) == 1


def test_what_was_erased_cannot_be_read(producer: Producer) -> None:
    first = complete.delay(LETTER)
    producer.answer(first.id, {"text": "Yes."})
    with producer.ledger.write() as connection:
        erase(connection, [first.id], "ada", "asked for")
    with pytest.raises(InvalidItem, match="is erased"):
        complete.delay(argument_of(first, "prompt"))


def test_a_step_whose_reference_leads_nowhere_is_a_dead_letter(producer: Producer) -> None:
    last = chain(complete.s("one").set(task_id="one"), complete.si(answer_of("gone"))).apply_async()
    producer.tell(producer.answer("one", {"text": "1"}))
    row = producer.item(last.id)
    assert (row.state, row.reason) == ("dead", "invalid")


def test_a_call_by_name_reads_nothing_of_anybody(producer: Producer) -> None:
    first = complete.delay(LETTER)
    producer.answer(first.id, {"text": "Yes."})
    later = complete.si(answer_of(first)).set(task_id="later")
    sent: dict[str, Any] = {
        "direct": {"kwargs": {"prompt": argument_of(first, "prompt")}},
        "linked": {"callbacks": [later]},
        "chained": {"chain": [later]},
        "mourned": {"errbacks": [later]},
    }
    for call_id, told in sent.items():
        kwargs = told.pop("kwargs", {"prompt": "hello"})
        promise = Promise(id=call_id, item_id=call_id, task=complete.name, **told)
        take_in(complete, [], kwargs, promise, not_before=None, expires=None)
        row = producer.item(call_id)
        assert (row.state, row.reason) == ("dead", "invalid")
        assert "by name" in row.error["message"]
    assert producer.item("later") is None


@pytest.mark.parametrize(
    "sent",
    [[answer_of("a")], {"kwargs": {"text": argument_of("a", "b")}}, {"x": [[answer_of("a")]]}],
)
def test_a_reference_is_seen_wherever_it_stands(sent: Any) -> None:
    assert mentioned(json.loads(json.dumps(sent)))
    assert not mentioned({"prompt": "tierqueue.answer_of", "more": [1, None]})
