"""Files that change while they are read, and rows and options that are nobody's."""

from pathlib import Path

import pytest

from tests.tasks.jobs.test_submission import LABELS, rows, submit
from tierqueue.ledger.operations import jobs
from tierqueue.ledger.session import Ledger
from tierqueue.router.errors import InvalidItem
from tierqueue.tasks import classify, complete
from tierqueue.tasks.files.source import Reading
from tierqueue.tasks.jobs.submission import Submission


def work(folder: Path, content: str, name: str = "work.csv") -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("later", "total"), [("text\nx\ny\nz\n", 3), ("text\nx\n", 1), ("text\nother\ny\n", 2)]
)
def test_a_file_that_changes_after_it_was_counted_is_read_again(
    ledger: Ledger, tmp_path: Path, later: str, total: int
) -> None:
    path = work(tmp_path, "text\nx\ny\n")
    submission = Submission(classify, path, {"labels": LABELS}, column="text")
    path.write_text(later, encoding="utf-8")
    done = submit(ledger, submission)
    assert (done.total, len(rows(ledger, done.id))) == (total, total)
    with ledger.read() as connection:
        progress = jobs.progress(connection, done.id)
    assert (progress.complete, progress.total, progress.submitted) == (True, total, total)


def test_a_file_that_never_stands_still_is_refused(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = work(tmp_path, "text\nx\ny\n")
    submission = Submission(classify, path, {"labels": LABELS}, column="text")

    def grow(_: str) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write("more\n")

    with pytest.raises(InvalidItem, match="changes again and again"):
        submission.submit(ledger, lambda: None, max_cost=None, progress=lambda *_: None, begun=grow)


def test_an_option_that_does_nothing_for_the_file_is_refused(tmp_path: Path) -> None:
    path = work(tmp_path, "text\nx\n")
    for reading in (Reading(sheet="a"), Reading(by="page"), Reading(query="SELECT 1")):
        with pytest.raises(InvalidItem, match=r"does nothing for|asks a database"):
            Submission(classify, path, {"labels": LABELS}, column="text", reading=reading)


def test_malformed_rows_that_look_alike_name_their_own_lines(
    ledger: Ledger, tmp_path: Path
) -> None:
    path = work(tmp_path, '[1]\n[1]\n{"prompt": "x"}\n', "work.jsonl")
    for new in (3, 0):
        done = submit(ledger, Submission(complete, path, {}))
        assert (done.new, done.reused) == (new, 3 - new)
    said = [row["error"]["message"] for row in rows(ledger, done.id)[:2]]
    assert [message.split(":")[0] for message in said] == ["line 1", "line 2"]
