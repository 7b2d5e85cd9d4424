"""Jobs: every row of a file becomes an item, or nothing does."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.images import an_image
from tierqueue.ledger.lifecycle import items
from tierqueue.ledger.operations import jobs
from tierqueue.ledger.session import Ledger
from tierqueue.router.errors import Cancelled, InvalidItem
from tierqueue.tasks import ask_image, classify, complete, extract
from tierqueue.tasks.jobs.export.results import every_result
from tierqueue.tasks.jobs.submission import BATCH, Submission, SubmittedJob

LABELS = ["billing", "login"]
Write = Callable[[str], Path]


@pytest.fixture
def csv(tmp_path: Path) -> Write:
    def write(content: str) -> Path:
        path = tmp_path / "work.csv"
        path.write_text(content, encoding="utf-8")
        return path

    return write


@pytest.fixture
def jsonl(tmp_path: Path) -> Callable[[Sequence[Any]], Path]:
    def write(rows: Sequence[Any]) -> Path:
        path = tmp_path / "work.jsonl"
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path.write_text("\n".join(lines), encoding="utf-8")
        return path

    return write


def submit(ledger: Ledger, submission: Submission, **options: Any) -> SubmittedJob:
    return submission.submit(
        ledger,
        options.get("wake", lambda: None),
        max_cost=options.get("max_cost"),
        progress=options.get("progress", lambda committed, total: None),
    )


def rows(ledger: Ledger, job_id: str) -> list[dict[str, Any]]:
    """The job's items, whole, in file order."""
    with ledger.read() as connection:
        found = []
        for result in every_result(ledger, job_id):
            row = items.get(connection, result["id"])
            assert row is not None
            found.append(row._asdict())
    return found


def test_each_row_becomes_an_item_with_its_index_and_its_demands(
    ledger: Ledger, csv: Write
) -> None:
    path = csv("text,risk,max_cost\nMy card is lost,internal,0.01usd\nI cannot log in,,\n")
    done = submit(ledger, Submission(classify, path, {"labels": LABELS, "budget": "support"}))
    assert (done.total, done.malformed) == (2, 0)
    first, second = rows(ledger, done.id)
    assert first["arguments"]["text"] == "My card is lost"
    assert first["arguments"]["labels"] == LABELS
    assert (first["job_index"], first["risk"], first["max_cost"]) == (0, "internal", 10_000_000)
    assert (second["job_index"], second["risk"], second["max_cost"]) == (1, None, None)
    assert {row["budget"] for row in (first, second)} == {"support"}
    assert {row["state"] for row in (first, second)} == {"submitted"}


def test_one_column_alone_is_read_and_the_label_beside_it_never(ledger: Ledger, csv: Write) -> None:
    path = csv("category,text\nsecret_label,My card is lost\n")
    done = submit(ledger, Submission(classify, path, {"labels": LABELS}, column="text"))
    (row,) = rows(ledger, done.id)
    assert row["arguments"]["text"] == "My card is lost"
    assert "secret_label" not in json.dumps(row, default=str)


def test_a_column_may_have_any_name(ledger: Ledger, csv: Write) -> None:
    done = submit(ledger, Submission(complete, csv("question\nWhy?\n"), {}, column="question"))
    (row,) = rows(ledger, done.id)
    assert row["arguments"]["prompt"] == "Why?"


def test_a_mapping_in_a_cell_is_json(ledger: Ledger, csv: Write) -> None:
    path = csv('text,fields\nA bill,"{""total"": ""number""}"\nA bill,total\n')
    done = submit(ledger, Submission(extract, path, {}))
    good, bad = rows(ledger, done.id)
    assert good["arguments"]["fields"] == {"total": "number"}
    assert bad["error"]["message"].startswith("line 3: fields: not JSON")


def test_malformed_rows_are_dead_letters_and_the_counts_add_up(
    ledger: Ledger, jsonl: Callable[[Sequence[Any]], Path]
) -> None:
    path = jsonl(
        [
            {"text": "fine"},
            "{not json",
            {"text": ""},
            {"text": "x", "colour": "blue"},
            {"text": "x", "risk": "huge"},
            {"text": "x", "idempotency_key": "k"},
            {"text": "x\ud800"},
            {"text": "fine too"},
        ]
    )
    done = submit(ledger, Submission(classify, path, {"labels": LABELS}))
    assert (done.total, done.malformed) == (8, 6)
    found = rows(ledger, done.id)
    assert [row["state"] for row in found] == ["submitted", *["dead"] * 6, "submitted"]
    dead = found[1:7]
    assert {row["reason"] for row in dead} == {"invalid"}
    for number, row in enumerate(dead, start=2):
        assert row["error"]["message"].startswith(f"line {number}: ")
        assert row["error"]["fields"]["place"] == f"line {number}"
    assert dead[1]["arguments"] == {"row": {"text": ""}}
    with ledger.read() as connection:
        progress = jobs.progress(connection, done.id)
    assert progress.total == 8
    assert progress.complete
    assert (progress.states, progress.dead) == ({"submitted": 2, "dead": 6}, {"invalid": 6})


def test_a_row_that_the_database_cannot_hold_takes_no_neighbour_with_it(
    ledger: Ledger, jsonl: Callable[[Sequence[Any]], Path]
) -> None:
    texts = [{"text": f"number {n}"} for n in range(5)]
    path = jsonl([*texts[:2], {"text": "x", "budget": "nul \0 byte"}, *texts[2:]])
    done = submit(ledger, Submission(classify, path, {"labels": LABELS}))
    states = [row["state"] for row in rows(ledger, done.id)]
    # SQLite can hold it: what matters is that the others are there either way.
    assert states[:2] + states[3:] == ["submitted"] * 5
    assert done.malformed == states.count("dead")


def test_the_job_has_its_ceiling(ledger: Ledger, csv: Write) -> None:
    submission = Submission(classify, csv("text\nhello\n"), {"labels": LABELS})
    done = submit(ledger, submission, max_cost=2_000_000_000)
    with ledger.read() as connection:
        row = jobs.get(connection, done.id)
    assert row is not None
    assert row.max_cost == 2_000_000_000


def test_rows_are_committed_in_batches_each_with_a_wake(ledger: Ledger, csv: Write) -> None:
    path = csv("text\n" + "hello\n" * (BATCH + 1))
    wakes: list[None] = []
    seen: list[tuple[int, int]] = []
    done = submit(
        ledger,
        Submission(classify, path, {"labels": LABELS}),
        wake=lambda: wakes.append(None),
        progress=lambda committed, total: seen.append((committed, total)),
    )
    assert done.total == BATCH + 1
    assert seen == [(BATCH, BATCH + 1), (BATCH + 1, BATCH + 1)]
    assert len(wakes) == 2


def test_a_job_that_is_cancelled_while_it_is_read_takes_no_more_rows(
    ledger: Ledger, csv: Write
) -> None:
    path = csv("text\n" + "hello\n" * (BATCH + 1))
    submission = Submission(classify, path, {"labels": LABELS})

    def cancel() -> None:
        with ledger.write() as connection:
            (job,) = jobs.newest(connection, 1)
            jobs.cancel(connection, job.id, "somebody")

    with pytest.raises(Cancelled):
        submit(ledger, submission, wake=cancel)
    with ledger.read() as connection:
        (job,) = jobs.newest(connection, 2)
        progress = jobs.progress(connection, job.id)
        assert (progress.submitted, progress.total, progress.stopped) == (BATCH, BATCH + 1, False)


@pytest.mark.parametrize(
    ("content", "fixed", "column", "complaint"),
    [
        ("text\nx\n", {}, None, "tierqueue.classify needs labels"),
        ("text\nx\n", {"labels": LABELS}, "body", "there is no column 'body'"),
        ("text,mood\nx,y\n", {"labels": LABELS}, None, "knows no 'mood'"),
        ("text\nx\n", {"labels": LABELS, "text": "y"}, None, "text is set for all rows and also"),
        ("text\nx\n", {"labels": LABELS, "text": "y"}, "text", "text is set for all rows and"),
        ("text\nx\n", {"labels": ["one"]}, None, "labels: List should have at least 2 items"),
        ("text\nx\n", {"labels": LABELS, "risk": "huge"}, None, "risk: "),
        ("text,idempotency_key\nx,k\n", {"labels": LABELS}, None, "have no idempotency_key"),
    ],
)
def test_what_is_wrong_with_every_row_is_said_before_anything_is_committed(
    csv: Write, content: str, fixed: dict[str, Any], column: str | None, complaint: str
) -> None:
    with pytest.raises(InvalidItem, match=complaint):
        Submission(classify, csv(content), fixed, column=column)


def test_json_lines_with_another_key_are_refused_as_a_whole(
    jsonl: Callable[[Sequence[Any]], Path],
) -> None:
    with pytest.raises(InvalidItem, match="there is no column 'text'"):
        Submission(classify, jsonl([{"body": "x"}]), {"labels": LABELS}, column="text")


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    (folder / "march").mkdir(parents=True)
    (folder / "a.png").write_bytes(an_image("PNG", (10, 20)))
    (folder / "march" / "b.jpg").write_bytes(an_image("JPEG", (30, 40)))
    return folder


def test_a_folder_of_images_is_an_item_for_each(ledger: Ledger, scans: Path) -> None:
    (scans / "c.gif").write_bytes(b"none")
    (scans / "notes.txt").write_text("hello")
    done = submit(ledger, Submission(ask_image, scans, {"question": "What is it?"}))
    assert (done.total, done.malformed) == (4, 2)
    first, broken, other, second = rows(ledger, done.id)
    assert (first["images"], second["images"]) == ([[10, 20]], [[30, 40]])
    assert "PNG, JPEG, WebP or GIF" in broken["error"]["message"]
    assert "its name ends in none of" in other["error"]["message"]
    again = submit(ledger, Submission(ask_image, scans, {"question": "What is it?"}))
    assert (again.new, again.reused) == (0, 4)


def test_a_pattern_of_images_and_the_same_image_twice(ledger: Ledger, scans: Path) -> None:
    (scans / "march" / "copy.png").write_bytes((scans / "a.png").read_bytes())
    done = submit(ledger, Submission(ask_image, scans / "**" / "*.png", {"question": "What?"}))
    assert (done.total, done.new, done.reused) == (2, 1, 1)


def test_a_column_names_images_in_the_folder_of_the_file(
    ledger: Ledger, scans: Path, tmp_path: Path
) -> None:
    (tmp_path / "else.png").write_bytes(an_image())
    path = scans / "list.csv"
    named = ["a.png", str(scans / "march" / "b.jpg"), "../else.png", "gone.png", "https://x/y.png"]
    path.write_text("image,question\n" + "".join(f"{name},What?\n" for name in named))
    done = submit(ledger, Submission(ask_image, path, {}))
    good, whole, outside, gone, address = rows(ledger, done.id)
    assert [row["images"] for row in (good, whole)] == [[[10, 20]], [[30, 40]]]
    assert "is not in the folder of list.csv" in outside["error"]["message"]
    assert "is not there" in gone["error"]["message"]
    assert "is not there" in address["error"]["message"]


def test_a_link_out_of_the_folder_is_not_followed(
    ledger: Ledger, scans: Path, tmp_path: Path
) -> None:
    (tmp_path / "else.png").write_bytes(an_image())
    (scans / "link.png").symlink_to(tmp_path / "else.png")
    path = scans / "list.jsonl"
    path.write_text(json.dumps({"image": "link.png"}))
    done = submit(ledger, Submission(ask_image, path, {"question": "What?"}))
    assert "is not in the folder" in rows(ledger, done.id)[0]["error"]["message"]


def test_an_image_that_changed_is_asked_again(ledger: Ledger, scans: Path) -> None:
    def whole() -> SubmittedJob:
        return submit(ledger, Submission(ask_image, scans, {"question": "What is it?"}))

    first = whole()
    (scans / "a.png").write_bytes(an_image("PNG", (11, 20)))
    second = whole()
    assert (first.new, second.new, second.reused) == (2, 1, 1)


def test_no_more_images_are_in_memory_and_in_one_transaction_than_are_well_there(
    ledger: Ledger, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tierqueue.tasks.jobs.submission.MOST_CARRIED", 1)
    told: list[int] = []
    Submission(ask_image, scans, {"question": "What?"}).submit(
        ledger, lambda: None, max_cost=None, progress=lambda done, _: told.append(done)
    )
    assert told == [1, 2]
