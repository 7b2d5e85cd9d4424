"""The same submission again: what is there is left alone, and nothing is asked twice."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import func, select, update

from tests.tasks.jobs.answered import REFUSED, answer
from tierqueue.ledger.operations import erasure, jobs
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import ceilings, items
from tierqueue.tasks import classify
from tierqueue.tasks.jobs import submission as module
from tierqueue.tasks.jobs.export.answers import Shape
from tierqueue.tasks.jobs.export.results import JobResults, every_result
from tierqueue.tasks.jobs.submission import Submission, SubmittedJob

LABELS = ["billing", "login"]


class Killed(BaseException):
    """The process ended here."""


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 3)


def _write(tmp_path: Path, texts: Sequence[str], notes: str = "n") -> Path:
    path = tmp_path / "tickets.csv"
    path.write_text("text,note\n" + "".join(f"{text},{notes}\n" for text in texts), "utf-8")
    return path


def _submit(
    ledger: Ledger, path: Path, *, killed_after: int | None = None, **how: Any
) -> SubmittedJob:
    batches = 0

    def wake() -> None:
        nonlocal batches
        batches += 1
        if batches == killed_after:
            raise Killed

    fixed = {"labels": how.pop("labels", LABELS)}
    how.setdefault("max_cost", None)
    made = Submission(classify, path, fixed, column="text")
    return made.submit(ledger, wake, progress=lambda committed, total: None, **how)


def _items(ledger: Ledger) -> int:
    with ledger.read() as connection:
        return connection.execute(select(func.count()).select_from(items)).scalar_one()


def _progress(ledger: Ledger, job_id: str) -> jobs.JobProgress:
    with ledger.read() as connection:
        return jobs.progress(connection, job_id)


def _labelled(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    return REFUSED if "bad" in arguments["text"] else {"label": arguments["text"]}


def _answers(ledger: Ledger, job_id: str) -> list[tuple[str, str | None, float]]:
    with ledger.read() as connection:
        job = jobs.get(connection, job_id)
    assert job is not None
    rows = JobResults(ledger, job, Shape()).rows()
    return [(row["text"], row.get("output_label"), row["cost"]) for row in rows]


def test_a_submission_that_was_killed_goes_on_where_it_stopped(
    ledger: Ledger, tmp_path: Path
) -> None:
    path = _write(tmp_path, [f"t{n}" for n in range(10)])
    with pytest.raises(Killed):
        _submit(ledger, path, killed_after=2)
    with ledger.read() as connection:
        (job,) = jobs.newest(connection, 2)
    assert (job.complete, _items(ledger)) == (False, 6)
    done = _submit(ledger, path)
    assert (done.id, done.resumed, done.new, done.reused) == (job.id, True, 4, 0)
    assert _items(ledger) == 10
    assert _progress(ledger, done.id).complete


def test_the_same_command_again_asks_only_what_is_new_or_changed(
    ledger: Ledger, tmp_path: Path
) -> None:
    path = _write(tmp_path, ["a", "b", "c", "d"])
    first = _submit(ledger, path)
    answer(ledger, _labelled)
    again = _submit(ledger, path)
    assert (again.id != first.id, again.new, again.reused) == (True, 0, 4)
    assert _progress(ledger, again.id).over
    _write(tmp_path, ["d", "new", "a", "b changed"], notes="another note")
    delta = _submit(ledger, path)
    assert (delta.new, delta.reused, delta.resumed) == (2, 2, False)
    answer(ledger, _labelled, spent=5_000)
    assert _answers(ledger, delta.id) == [
        ("d", "d", 0.0),
        ("new", "new", 0.000005),
        ("a", "a", 0.0),
        ("b changed", "b changed", 0.000005),
    ]
    assert _items(ledger) == 6


def test_failed_rows_are_asked_again_where_that_is_said(ledger: Ledger, tmp_path: Path) -> None:
    path = _write(tmp_path, ["a", "bad", "bad"])
    _submit(ledger, path)
    answer(ledger, _labelled)
    assert _submit(ledger, path).new == 0
    retried = _submit(ledger, path, retry_failed=True)
    assert (retried.new, retried.reused) == (1, 2)
    answer(ledger, lambda arguments: {"label": "good now"})
    assert [label for _, label, _ in _answers(ledger, retried.id)] == ["a", *["good now"] * 2]
    after = _submit(ledger, path)
    assert after.new == 0
    assert [label for _, label, _ in _answers(ledger, after.id)] == ["a", *["good now"] * 2]


def test_what_is_asked_otherwise_is_another_run(ledger: Ledger, tmp_path: Path) -> None:
    path = _write(tmp_path, ["a", "b"])
    _submit(ledger, path)
    assert _submit(ledger, path, labels=["other", "labels"]).new == 2
    moved = path.rename(tmp_path / "moved.csv")
    assert _submit(ledger, moved).new == 2


def test_identical_rows_are_one_call_and_each_has_its_answer(
    ledger: Ledger, tmp_path: Path
) -> None:
    path = _write(tmp_path, ["a", "b", "a", "a", "b", "c", "a"])
    done = _submit(ledger, path)
    assert (done.total, done.new, done.reused, _items(ledger)) == (7, 3, 4, 3)
    progress = _progress(ledger, done.id)
    assert (progress.states, progress.submitted, progress.total) == ({"submitted": 7}, 7, 7)
    answer(ledger, _labelled)
    progress = _progress(ledger, done.id)
    assert (progress.over, progress.reused, progress.spent) == (True, 4, 3_000)
    assert [label for _, label, _ in _answers(ledger, done.id)] == list("abaabca")
    paid = [cost > 0 for _, _, cost in _answers(ledger, done.id)]
    assert paid == [True, True, False, False, False, True, False]
    rows = list(every_result(ledger, done.id))
    assert [row["job_index"] for row in rows] == list(range(7))
    sources = [row["receipt"].get("reused_from") for row in rows]
    ids = [row["id"] for row in rows]
    assert sources == [None, None, ids[0], ids[0], ids[1], None, ids[0]]
    costs = [row["receipt"]["cost_nanousd"] for row in rows if "reused_from" in row["receipt"]]
    assert costs == [0] * 4


def test_anew_asks_every_row_and_goes_on_too(ledger: Ledger, tmp_path: Path) -> None:
    path = _write(tmp_path, ["a"] * 5)
    _submit(ledger, path)
    with pytest.raises(Killed):
        _submit(ledger, path, killed_after=1, anew=True)
    done = _submit(ledger, path, anew=True)
    assert (done.resumed, done.new, done.reused, _items(ledger)) == (True, 2, 0, 6)
    with ledger.read() as connection:
        fresh = connection.execute(select(items.c.fresh).order_by(items.c.id)).scalars().all()
    assert sorted(fresh) == [False, *[True] * 5]


def test_a_file_that_changed_while_its_submission_was_dead_is_another_job(
    ledger: Ledger, tmp_path: Path
) -> None:
    path = _write(tmp_path, [f"t{n}" for n in range(8)])
    with pytest.raises(Killed):
        _submit(ledger, path, killed_after=2)
    with ledger.read() as connection:
        (begun,) = jobs.newest(connection, 2)
    _write(tmp_path, ["t0", "another", *[f"t{n}" for n in range(2, 8)]])
    done = _submit(ledger, path)
    assert (done.id != begun.id, done.new, done.reused) == (True, 3, 5)
    old = _progress(ledger, begun.id)
    assert (old.complete, old.total, old.stopped) == (True, 6, False)
    path = _write(tmp_path, [f"s{n}" for n in range(8)])
    with pytest.raises(Killed):
        _submit(ledger, path, killed_after=2)
    _write(tmp_path, ["s0", "s1"])
    assert _submit(ledger, path).new == 0


def test_what_was_cancelled_or_erased_is_asked_again(ledger: Ledger, tmp_path: Path) -> None:
    path = _write(tmp_path, ["a", "b"])
    first = _submit(ledger, path)
    with ledger.write() as connection:
        while jobs.cancel(connection, first.id, "somebody"):
            pass
    second = _submit(ledger, path)
    assert (second.new, second.resumed) == (2, False)
    answer(ledger, _labelled)
    with ledger.write() as connection:
        ids = [row.id for row in jobs.results(connection, second.id, -1, 1)]
        erasure.erase(connection, ids, "somebody", "asked for")
    assert _submit(ledger, path).new == 1


def test_a_ceiling_stated_anew_holds_for_the_job_that_goes_on(
    ledger: Ledger, tmp_path: Path
) -> None:
    path = _write(tmp_path, [f"t{n}" for n in range(6)])
    with pytest.raises(Killed):
        _submit(ledger, path, killed_after=1, max_cost=100)
    done = _submit(ledger, path, max_cost=200)
    with ledger.read() as connection:
        job = jobs.get(connection, done.id)
        limits = connection.execute(
            select(ceilings.c.limit).where(ceilings.c.name == done.id)
        ).scalars()
        assert job is not None
        assert (job.max_cost, list(limits)) == (200, [200])


def test_two_of_the_same_command_at_once_are_one_job(ledger: Ledger, tmp_path: Path) -> None:
    path = _write(tmp_path, [f"t{n}" for n in range(30)])
    done: list[SubmittedJob] = []
    threads = [Thread(target=lambda: done.append(_submit(ledger, path))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 3
    assert _items(ledger) == 30


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_killed_and_edited_each_question_is_asked_once(
    ledger: Ledger, tmp_path: Path, seed: int
) -> None:
    draw = random.Random(seed)
    asked: set[str] = set()
    for _ in range(6):
        texts = [f"t{draw.randrange(20)}" for _ in range(draw.randrange(1, 25))]
        path = _write(tmp_path, texts)
        for _ in range(draw.randrange(3)):
            try:
                _submit(ledger, path, killed_after=draw.randrange(1, 5))
            except Killed:
                asked |= set(texts)
            if draw.random() < 0.5:
                answer(ledger, _labelled)
        done = _submit(ledger, path)
        asked |= set(texts)
        answer(ledger, _labelled)
        assert [(text, label) for text, label, _ in _answers(ledger, done.id)] == [
            (text, text) for text in texts
        ]
        assert _items(ledger) <= len(asked)


def test_a_row_shares_no_answer_that_was_given_under_another_prompt(
    ledger: Ledger, tmp_path: Path
) -> None:
    path = _write(tmp_path, ["a", "b"])
    done = _submit(ledger, path)
    with ledger.write() as connection:
        drawn = connection.execute(select(items.c.id).order_by(items.c.job_index)).scalars().first()
        connection.execute(update(items).where(items.c.id == drawn).values(prompt="prompt-b"))
    answer(ledger, _labelled)
    again = _submit(ledger, path)
    assert (again.id != done.id, again.new, again.reused) == (True, 1, 1)
