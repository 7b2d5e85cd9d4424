"""Results: the source is given back whole, each row with its answer or its error."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from tests.tasks.files.documents.made import pdf
from tests.tasks.jobs.answered import REFUSED, answer
from tierqueue.ledger.operations import erasure, jobs
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import items
from tierqueue.router.errors import InvalidItem
from tierqueue.tasks import ask, classify, complete
from tierqueue.tasks.jobs.export.answers import Shape
from tierqueue.tasks.jobs.export.results import JobResults
from tierqueue.tasks.jobs.submission import Submission
from tierqueue.tasks.submission.pieces import Pieces

LABELS = ["billing", "login"]
TICKETS = "id,body,note\n7,My card is lost,a\n8,I cannot log in,b\n0009,?,\n"


def _file(tmp_path: Path, content: str, name: str = "tickets.csv") -> Path:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8", newline="")
    return path


def _job(ledger: Ledger, path: Path, task: Any = classify, column: str | None = "body") -> str:
    fixed = {"labels": LABELS} if task is classify else {}
    submission = Submission(task, path, fixed, column=column)
    return submission.submit(
        ledger, lambda: None, max_cost=None, progress=lambda committed, total: None
    ).id


def _results(ledger: Ledger, job_id: str, shape: Shape | None = None, **how: Any) -> JobResults:
    with ledger.read() as connection:
        job = jobs.get(connection, job_id)
    assert job is not None
    return JobResults(ledger, job, shape or Shape(), **how)


def _label(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    if arguments["text"] == "?":
        return REFUSED
    return {"label": "billing" if "card" in arguments["text"] else "login", "confidence": 0.5}


def test_every_row_comes_back_with_its_columns_and_its_answer_or_its_error(
    ledger: Ledger, tmp_path: Path
) -> None:
    job_id = _job(ledger, _file(tmp_path, TICKETS))
    answer(ledger, _label)
    found = _results(ledger, job_id)
    rows = list(found.rows())
    assert found.columns == (
        *("id", "body", "note", "output_label", "output_confidence"),
        *("error", "tier", "cost", "item"),
    )
    assert [(row["id"], row["body"], row["note"]) for row in rows] == [
        ("7", "My card is lost", "a"),
        ("8", "I cannot log in", "b"),
        ("0009", "?", ""),
    ]
    assert [row.get("output_label") for row in rows] == ["billing", "login", None]
    assert [row["error"] for row in rows] == [None, None, "rejected: no label fits"]
    assert {(row["tier"], row["cost"]) for row in rows} == {("gpu", 0.000001)}
    told = found.summary
    assert (told.rows, told.succeeded, told.failed) == (3, 2, {"rejected": 1})
    assert (told.tokens, told.cost, told.reused, told.changed) == (24, 3_000, 0, 0)
    assert told.ended_at > 0


def test_the_added_columns_are_named_as_asked_and_an_answer_may_be_one(
    ledger: Ledger, tmp_path: Path
) -> None:
    job_id = _job(ledger, _file(tmp_path, TICKETS))
    answer(ledger, _label)
    found = _results(ledger, job_id, Shape(prefix="ai_", flat=False, keys=("id",)))
    assert found.columns == ("id", "ai_output", "ai_error", "ai_tier", "ai_cost", "ai_item")
    first = next(found.rows())
    assert (first["id"], first["ai_output"]) == ("7", {"label": "billing", "confidence": 0.5})
    assert first.keys() == set(found.columns)


def test_a_free_text_is_the_output_itself(ledger: Ledger, tmp_path: Path) -> None:
    path = _file(tmp_path, '{"q": "Why?", "n": [1]}\n', "work.jsonl")
    job_id = _job(ledger, path, complete, "q")
    answer(ledger, lambda arguments: {"text": f"{arguments['prompt']} Because."})
    (row,) = _results(ledger, job_id).rows()
    assert (row["q"], row["n"], row["output"]) == ("Why?", [1], "Why? Because.")


def test_a_row_that_has_not_ended_or_is_malformed_says_so(ledger: Ledger, tmp_path: Path) -> None:
    job_id = _job(ledger, _file(tmp_path, "body,n\nhello,1\nshort\n"))
    found = _results(ledger, job_id)
    first, second = found.rows()
    assert (first["error"], first["n"]) == ("not_ended: submitted", "1")
    assert second["error"] == "invalid: line 3: 1 fields, the header has 2"
    assert second["body"] == "short"
    assert (found.summary.open, found.summary.failed) == (1, {"invalid": 1})


def test_a_source_that_changed_since_is_told_row_by_row(ledger: Ledger, tmp_path: Path) -> None:
    path = _file(tmp_path, TICKETS)
    job_id = _job(ledger, path)
    answer(ledger, _label)
    path.write_text(TICKETS.replace("log in", "log out").replace(",a", ",z") + "10,new,\n", "utf-8")
    found = _results(ledger, job_id)
    first, second, _, fourth = found.rows()
    assert (first["note"], first["output_label"]) == ("z", "billing")
    assert (second["error"] or "").startswith("changed: ")
    assert (fourth["error"] or "").startswith("not_submitted: ")
    assert (found.summary.changed, found.summary.missing) == (1, 1)
    path.write_text(TICKETS[: TICKETS.index("8,")], "utf-8")
    with pytest.raises(InvalidItem, match="has only 1 of the rows that were submitted"):
        list(_results(ledger, job_id).rows())


def test_a_source_that_is_elsewhere_is_named_and_one_that_is_gone_is_said(
    ledger: Ledger, tmp_path: Path
) -> None:
    path = _file(tmp_path, TICKETS)
    job_id = _job(ledger, path)
    moved = path.rename(tmp_path / "moved.csv")
    with pytest.raises(InvalidItem, match=r"no such file: say --source FILE"):
        _results(ledger, job_id)
    assert len(list(_results(ledger, job_id, path=moved).rows())) == 3


@pytest.mark.parametrize(
    ("header", "shape", "complaint"),
    [
        ("id,body,error", Shape(), "has a column 'error' of its own: say --prefix"),
        ("id,body,note", Shape(keys=("idd",)), "no such column; did you mean 'id'"),
    ],
)
def test_names_that_cannot_be_are_refused(
    ledger: Ledger, tmp_path: Path, header: str, shape: Shape, complaint: str
) -> None:
    job_id = _job(ledger, _file(tmp_path, TICKETS.replace("id,body,note", header)))
    with pytest.raises(InvalidItem, match=complaint):
        _results(ledger, job_id, shape)


def test_an_erased_row_says_so_and_keeps_no_hash_of_itself(ledger: Ledger, tmp_path: Path) -> None:
    job_id = _job(ledger, _file(tmp_path, TICKETS))
    answer(ledger, _label)
    rows = list(_results(ledger, job_id).rows())
    with ledger.write() as connection:
        erasure.erase(connection, [rows[0]["item"]], "somebody", "asked for")
    first, second, _ = _results(ledger, job_id).rows()
    assert first["error"] == "erased: the answer is not kept any more"
    assert second["output_label"] == "login"
    with ledger.read() as connection:
        from tierqueue.ledger.operations import job_rows

        found = job_rows.answers(connection, job_id, -1, 10)
    assert (found[0].content, found[0].fingerprint) == ("", "")
    assert all(row.content and row.fingerprint for row in found[1:])


def test_the_summary_tells_who_answered_without_a_call(ledger: Ledger, tmp_path: Path) -> None:
    job_id = _job(ledger, _file(tmp_path, TICKETS))
    answer(ledger, _label)
    with ledger.write() as connection:
        first = jobs.results(connection, job_id, -1, 1)[0].id
        below = update(items).where(items.c.id == first).values(tier="surrogate", spent=0)
        connection.execute(below)
    found = _results(ledger, job_id)
    rows = list(found.rows())
    assert [row["tier"] for row in rows] == ["surrogate", "gpu", "gpu"]
    assert found.summary.below == {"surrogate": 1}


def test_a_row_with_an_earlier_answer_is_a_reused_one(ledger: Ledger, tmp_path: Path) -> None:
    job_id = _job(ledger, _file(tmp_path, TICKETS + "8,I cannot log in,b\n"))
    answer(ledger, _label)
    with ledger.write() as connection:
        first = jobs.results(connection, job_id, -1, 1)[0].id
        reused = update(items).where(items.c.id == first).values(tier="reused", spent=0)
        connection.execute(reused)
        assert jobs.progress(connection, job_id).reused == 2
    found = _results(ledger, job_id)
    assert [row["tier"] for row in found.rows()] == ["reused", "gpu", "gpu", "reused"]
    assert (found.summary.reused, found.summary.below) == (2, {})


@pytest.mark.processes
def test_an_answer_about_a_document_says_where_it_stands_and_what_is_missing(
    ledger: Ledger, tmp_path: Path
) -> None:
    folder = tmp_path / "letters"
    folder.mkdir()
    pages = [
        "Nothing is said here of when anything is to be paid.\n" * 12,
        "The rent is due on Monday, says this line of page two.\n" * 12,
    ]
    pdf(folder / "lease.pdf", pages)
    submission = Submission(
        ask, folder, {"question": "When?"}, pieces=Pieces(1_000, "always", "partial")
    )
    job_id = submission.submit(
        ledger, lambda: None, max_cost=None, progress=lambda committed, total: None
    ).id
    (row,) = submission.file.rows()
    missing = [{"start": 0, "end": row.pages[1] + 4, "item": "i", "reason": "rejected"}]
    with ledger.write() as connection:
        connection.execute(
            update(items).values(
                state="succeeded",
                output={"answer": "Monday.", "quotations": ["due on Monday"]},
                receipt={"tokens": {}, "missing": missing},
                ended_at=1,
            )
        )
    found = _results(ledger, job_id)
    assert found.added[-6:] == ("citations", "missing", "error", "tier", "cost", "item")
    (answered,) = found.rows()
    (citation,) = answered["citations"]
    text = row.columns["text"][row.pages[1] :]
    assert citation["page"] == 2
    assert text[citation["start"] : citation["end"]].split() == ["due", "on", "Monday"]
    assert answered["missing"] == [
        {
            "page": 1,
            "start": 0,
            "last_page": 2,
            "end": 4,
            "item": "i",
            "reason": "rejected",
        }
    ]
