"""A document longer than a window: its pieces are items, and what joins them waits too."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from celery.exceptions import ChordError
from sqlalchemy import update

from tests.tasks.files.documents.made import pdf
from tests.tasks.producer import Producer
from tests.waiting import until
from tierqueue.ledger.tables import items
from tierqueue.router.errors import Cancelled, InvalidItem, Rejected
from tierqueue.tasks import ask_document, extract_document, summarize_document
from tierqueue.tasks.answers.quotations import place

pytestmark = [
    pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning"),
    # Celery leaves sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PAGES = [
    f"Page {page} begins here.\n" + "Nothing is said in this line of it.\n" * 30
    for page in range(1, 5)
]
QUESTION = "Where does each page begin?"
RECEIPT = {"tokens": {"input": 300, "output": 20}}


def parts(producer: Producer) -> list[Any]:
    return [row for row in producer.all_items() if row.task != "tierqueue.combine"]


def finish(producer: Producer, row: Any, quotation: str, answer: str | None = "Here.") -> None:
    output = {"answer": answer, "quotations": [quotation] if answer else []}
    producer.tell(producer.answer(row.id, output, **RECEIPT))


def called(producer: Producer) -> None:
    """Every item has cost one call of 5 nano-dollars."""
    with producer.ledger.write() as connection:
        connection.execute(update(items).values(calls=1, spent=5))


def joining(producer: Producer, count: int = 1) -> list[Any]:
    def found() -> list[Any]:
        return [row for row in producer.all_items() if row.task == "tierqueue.combine"]

    until(lambda: len(found()) == count)
    return found()


def test_each_piece_is_an_item_and_the_answer_says_where_it_stands(producer: Producer) -> None:
    asked = ask_document(PAGES, QUESTION, characters=1_300)
    assert len(parts(producer)) == 4
    pieces = [producer.item(result.id) for result in asked.items[:4]]
    assert all(len(row.arguments["text"]) <= 1_300 for row in pieces)
    for number, row in enumerate(pieces, start=1):
        assert place("\n\n".join(PAGES), row.arguments["text"])
        finish(producer, row, f"Page {number} begins here.", "Here." if number > 2 else None)
    (join,) = joining(producer)
    assert [finding["quotations"] for finding in join.arguments["findings"]] == [
        *([], []),
        *(["Page 3 begins here."], ["Page 4 begins here."]),
    ]
    finish(producer, join, "Page 3 begins here.")
    found = asked.get(timeout=60)
    (citation,) = found.citations
    assert (found.answer, citation.page, citation.start) == ("Here.", 3, 0)
    assert PAGES[2][citation.start : citation.end] == citation.quotation
    called(producer)
    paid = asked.paid()
    assert (paid.items, paid.calls, paid.cost, paid.input_tokens) == (5, 5, 25, 1_500)
    assert paid.missing == found.missing == ()


def test_what_fits_one_piece_is_one_item(producer: Producer) -> None:
    asked = ask_document("Only this page begins here.", QUESTION)
    (row,) = producer.all_items()
    finish(producer, row, "Only this page begins here.")
    assert asked.get(timeout=60).citations[0].page == 1


def test_many_answers_are_joined_a_few_at_a_time(producer: Producer) -> None:
    asked = ask_document(PAGES * 3, QUESTION, characters=1_300)
    pieces = parts(producer)
    assert len(pieces) > 8
    for row in pieces:
        finish(producer, row, "Nothing is said in this line of it.")
    for row in joining(producer, 2):
        assert len(row.arguments["findings"]) <= 8
        finish(producer, row, "Nothing is said in this line of it.")
    joining(producer, 3)
    last = producer.item(asked.items[-1].id)
    assert len(last.arguments["findings"]) == 2
    finish(producer, last, "Nothing is said in this line of it.")
    assert asked.get(timeout=60).answer == "Here."
    assert len(asked.items) == len(pieces) + 3


def test_the_same_call_again_pays_nothing_twice(producer: Producer) -> None:
    ask_document(PAGES, QUESTION, characters=1_300, idempotency_key="lease")
    first, *others = pieces = parts(producer)
    finish(producer, first, "Nothing is said in this line of it.")
    asked = ask_document(PAGES, QUESTION, characters=1_300, idempotency_key="lease")
    assert len(producer.all_items()) == len(pieces)
    for row in others:
        finish(producer, row, "Nothing is said in this line of it.")
    (join,) = joining(producer)
    finish(producer, join, "Page 1 begins here.")
    assert asked.get(timeout=60).citations[0].page == 1
    assert len(producer.all_items()) == len(pieces) + 1


def test_a_piece_without_an_answer_is_no_answer_of_the_document(producer: Producer) -> None:
    asked = ask_document(PAGES, QUESTION, characters=1_300)
    first, *others = parts(producer)
    for row in others:
        finish(producer, row, "Nothing is said in this line of it.")
    producer.tell(producer.kill(first.id, "deadline"))
    with pytest.raises(ChordError, match=first.id):
        asked.get(timeout=60)
    assert len(producer.all_items()) == 4


def test_it_is_told_across_all_that_would_have_joined(producer: Producer) -> None:
    asked = ask_document(PAGES * 3, QUESTION, characters=1_300)
    first, *others = parts(producer)
    assert len(others) > 8
    for row in others:
        finish(producer, row, "Nothing is said in this line of it.")
    (join,) = joining(producer)
    finish(producer, join, "Nothing is said in this line of it.")
    producer.tell(producer.kill(first.id, "deadline"))
    with pytest.raises(ChordError, match=first.id):
        asked.get(timeout=20)


def test_a_partial_answer_says_which_pieces_it_does_not_speak_of(producer: Producer) -> None:
    asked = ask_document(PAGES, QUESTION, characters=1_300, on_failure="partial")
    first, second, *others = parts(producer)
    for row in (first, *others):
        finish(producer, row, "Nothing is said in this line of it.")
    producer.tell(producer.kill(second.id, "deadline"))
    (join,) = joining(producer)
    assert len(join.arguments["findings"]) == 3
    finish(producer, join, "Page 1 begins here.")
    called(producer)
    found = asked.get(timeout=60)
    (missing,) = found.missing
    assert (missing.item, missing.reason) == (second.id, "deadline")
    text = "\n\n".join(PAGES)
    start = text.index(second.arguments["text"])
    begun, end = PAGES[missing.page - 1][missing.start :], PAGES[missing.last_page - 1]
    assert second.arguments["text"].startswith(begun[:40])
    assert second.arguments["text"].rstrip().endswith(end[: missing.end].rstrip()[-40:])
    assert start == text.index(begun)
    paid = asked.paid()
    assert (paid.items, paid.calls, paid.cost, paid.missing) == (5, 5, 25, found.missing)


def test_what_would_have_joined_is_missing_with_all_that_it_was_to_join(
    producer: Producer,
) -> None:
    asked = ask_document(PAGES * 3, QUESTION, characters=1_300, on_failure="partial")
    pieces = parts(producer)
    for row in pieces:
        finish(producer, row, "Nothing is said in this line of it.")
    first, second = joining(producer, 2)
    producer.tell(producer.kill(first.id, "rejected"))
    finish(producer, second, "Nothing is said in this line of it.")
    joining(producer, 3)
    finish(producer, producer.item(asked.items[-1].id), "Nothing is said in this line of it.")
    missing = asked.get(timeout=60).missing
    assert {one.item for one in missing} == {first.id}
    assert len(missing) == len(first.arguments["findings"])


def test_all_that_one_item_was_to_join_is_no_part(producer: Producer) -> None:
    asked = ask_document(PAGES, QUESTION, characters=1_300, on_failure="partial")
    for row in parts(producer):
        producer.tell(producer.kill(row.id, "deadline"))
    with pytest.raises(ChordError):
        asked.get(timeout=60)
    assert len(asked.paid().missing) == 4


def test_fields_of_the_pieces_that_were_read_are_merged(producer: Producer) -> None:
    fields: dict[str, Any] = {"rent": "number"}
    asked = extract_document(PAGES, fields, characters=1_300, on_failure="partial")
    first, *others = [producer.item(result.id) for result in asked.items]
    producer.tell(producer.kill(first.id, "rejected"))
    for row in others:
        producer.tell(producer.answer(row.id, {"rent": 900}))
    found = asked.get(timeout=60)
    assert found.values == {"rent": 900}
    assert [(one.item, one.page) for one in found.missing] == [(first.id, 1)]


def test_without_any_piece_there_are_no_fields(producer: Producer) -> None:
    fields: dict[str, Any] = {"rent": "number"}
    asked = extract_document("The rent.", fields, on_failure="partial")
    (row,) = producer.all_items()
    producer.tell(producer.kill(row.id, "rejected"))
    with pytest.raises(Rejected):
        asked.get(timeout=60)


def test_revoking_the_document_cancels_its_pieces(producer: Producer) -> None:
    asked = ask_document(PAGES, QUESTION, characters=1_300)
    asked.revoke()
    assert {row.state for row in producer.all_items()} == {"cancelled"}
    with pytest.raises((ChordError, Cancelled)):
        asked.get(timeout=60)


def test_one_ceiling_and_one_deadline_hold_for_all_of_it(producer: Producer) -> None:
    before = datetime.now(UTC)
    demands: dict[str, Any] = {"max_cost": "0.01usd", "deadline": "1h", "budget": "legal"}
    ask_document(PAGES, QUESTION, characters=1_300, sensitivity="confidential", **demands)
    pieces = parts(producer)
    assert [row.max_cost for row in pieces] == [2_000_000] * 4
    for row in pieces:
        finish(producer, row, "Nothing is said in this line of it.")
    (join,) = joining(producer)
    assert (join.max_cost, join.budget, join.sensitivity) == (2_000_000, "legal", "confidential")
    (deadline,) = {row.deadline for row in producer.all_items()}
    assert abs(deadline / 1_000_000 - (before + timedelta(hours=1)).timestamp()) < 60


def test_summaries_are_summarized(producer: Producer) -> None:
    asked = summarize_document(PAGES, max_words=20, characters=1_300)
    pieces = producer.all_items()
    for row in pieces:
        producer.tell(producer.answer(row.id, {"summary": "A page begins."}))
    until(lambda: len(producer.all_items()) == len(pieces) + 1)
    [last] = [row for row in producer.all_items() if row.id not in {piece.id for piece in pieces}]
    assert last.arguments["text"] == "\n\n".join(["A page begins."] * len(pieces))
    producer.tell(producer.answer(last.id, {"summary": "Pages begin."}))
    assert asked.get(timeout=60).summary == "Pages begin."


def test_fields_are_merged_and_what_differs_is_shown(producer: Producer) -> None:
    asked = extract_document(PAGES, {"rent": "number", "tenant": "string"}, characters=1_300)
    rows = [producer.item(result.id) for result in asked.items]
    for row, rent in zip(rows, (900, 950, 900, None), strict=True):
        producer.tell(producer.answer(row.id, {"rent": rent, "tenant": None}))
    found = asked.get(timeout=60)
    assert found.values == {"rent": 900, "tenant": None}
    assert found.conflicts == {"rent": (900, 950)}
    assert len(producer.all_items()) == len(rows)


def test_a_file_is_a_document_with_its_pages(producer: Producer, tmp_path: Path) -> None:
    path = pdf(tmp_path / "lease.pdf", ["The first page.", "The second page."])
    asked = ask_document(path, QUESTION)
    (row,) = producer.all_items()
    finish(producer, row, "The second page.")
    assert asked.get(timeout=60).citations[0].page == 2


@pytest.mark.parametrize(
    ("document", "options", "complaint"),
    [
        ("", {}, "no text"),
        ([" ", "\n"], {}, "no text"),
        (PAGES, {"characters": 800}, "a piece has at least 801"),
        (PAGES, {"max_cost": "0.000000003usd"}, "nothing for each of"),
        (PAGES, {"deadline": "soon"}, "deadline"),
        (PAGES, {"risk": "high"}, "risk"),
        (PAGES, {"on_failure": "ignore"}, "on_failure is fail or partial"),
        (PAGES, {"split": "never"}, "split is cheaper or always"),
    ],
)
def test_bad_input_is_refused_before_anything_is_committed(
    producer: Producer, document: Any, options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InvalidItem, match=complaint):
        ask_document(document, QUESTION, **{"characters": 1_300, **options})
    assert producer.all_items() == []
