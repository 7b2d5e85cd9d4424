"""Jobs from Python."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tasks.jobs.answered import answer
from tests.tasks.producer import Producer
from tierqueue.router.errors import InvalidItem
from tierqueue.tasks import Job, classify, submit_job

LABELS = ["billing", "login"]

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def producer(producer_to: Callable[[str], Producer], sqlite_url: str, valkey: Any) -> Producer:
    return producer_to(sqlite_url)


@pytest.fixture
def tickets(tmp_path: Path) -> Path:
    path = tmp_path / "tickets.csv"
    path.write_text("id;body\n7;My card\n8;I cannot log in\n", encoding="utf-8")
    return path


def test_a_file_is_submitted_waited_for_and_given_back(producer: Producer, tickets: Path) -> None:
    job = submit_job(tickets, classify, column="body", labels=LABELS, max_cost="2usd")
    assert (job.progress().total, job.progress().over) == (2, False)
    with pytest.raises(TimeoutError, match="0 of 2 rows have ended"):
        job.wait(timeout=0)
    answer(producer.ledger, lambda said: {"label": "billing"})
    assert job.wait(timeout=60).ended == 2
    ahead = job.outlook()
    assert ahead.expected is not None
    assert (ahead.expected.value, ahead.seconds) == (job.progress().spent, 0.0)
    rows = list(job.results())
    assert [(row["id"], row["output"], row["error"]) for row in rows] == [
        ("7", {"label": "billing"}, None),
        ("8", {"label": "billing"}, None),
    ]
    assert "ai_output_label" in next(Job(job.id).results(flat=True, prefix="ai_"))
    again = submit_job(str(tickets), classify, column="body", labels=LABELS)
    assert again.wait(timeout=60).spent == 0


def test_a_job_is_cancelled(producer: Producer, tickets: Path) -> None:
    job = submit_job(tickets, classify, column="body", labels=LABELS)
    assert job.cancel() == 2
    assert job.wait(timeout=60).cancelled


def test_what_is_wrong_with_the_call_is_said_before_anything_is_committed(
    producer: Producer, tickets: Path
) -> None:
    with pytest.raises(InvalidItem, match=r"there is no column 'boody'.*did you mean"):
        submit_job(tickets, classify, column="boody", labels=LABELS)
    with pytest.raises(InvalidItem, match="is not an amount of money"):
        submit_job(tickets, classify, column="body", labels=LABELS, max_cost="much")
    assert producer.all_items() == []
    with pytest.raises(InvalidItem, match="there is no job nothing"):
        Job("nothing").progress()
