"""``tierqueue erase`` and ``dead-letters export`` over ledger and broker."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text, update

from tests.operations.cli.test_cli import run
from tests.tasks.producer import Producer
from tests.waiting import until
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import items
from tierqueue.operations.erase import erase
from tierqueue.router.errors import Cancelled, Erased
from tierqueue.tasks import complete

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def producer(producer_to: Callable[[str], Producer], ledger_url: str) -> Producer:
    """A producer on each database."""
    return producer_to(ledger_url)


def test_an_erased_answer_is_gone_from_ledger_and_broker(
    producer: Producer, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = complete.delay("my secret", metadata={"customer": "4711"})
    other = complete.delay("another", metadata={"customer": "1"})
    for result in (asked, other):
        producer.tell(producer.answer(result.id, {"text": "an answer"}))
    status, out, _ = run(capsys, "erase", "--metadata", "customer=4711")
    assert (status, "would erase 1 item" in out) == (0, True)
    assert producer.item(asked.id).output is not None
    status, out, _ = run(capsys, "erase", "--metadata", "customer=4711", "--yes", "--json")
    assert (status, json.loads(out)["erased"]) == (0, 1)
    row = producer.item(asked.id)
    assert (row.arguments, row.output, row.metadata) == (None, None, None)
    assert row.receipt is not None
    client = producer.app.backend.client
    assert not client.exists(f"celery-task-meta-{asked.id}")
    assert client.exists(f"celery-task-meta-{other.id}")
    again = producer.app.AsyncResult(asked.id)
    assert again.state == "FAILURE"
    with pytest.raises(Erased, match=f"item {asked.id} has ended .succeeded., and what") as erased:
        again.get(timeout=60)
    assert erased.value.fields["item"] == asked.id


def test_an_erasure_that_is_killed_at_its_commit_leaves_no_answer_at_the_broker(
    producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = complete.delay("my secret", metadata={"customer": "4711"})
    producer.tell(producer.answer(asked.id, {"text": "an answer"}))
    ledger, write = producer.ledger, producer.ledger.write

    @contextmanager
    def killed_once_erased() -> Iterator[Transaction]:
        with write() as connection:
            yield connection
        if producer.item(asked.id).arguments is None:
            raise KeyboardInterrupt

    monkeypatch.setattr(ledger, "write", killed_once_erased)
    with pytest.raises(KeyboardInterrupt):
        erase(ledger, producer.app, [asked.id], by="ada", why="asked", patience_seconds=0)
    assert producer.item(asked.id).arguments is None
    assert not producer.app.backend.client.exists(f"celery-task-meta-{asked.id}")


def test_an_item_that_waits_is_cancelled_told_and_erased(
    producer: Producer, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = complete.delay("my secret")
    got: list[BaseException] = []

    def wait() -> None:
        try:
            asked.get(timeout=60)
        except Cancelled as error:
            got.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    until(lambda: producer.app.backend.client.pubsub_channels("celery-task-meta-*"))
    assert run(capsys, "erase", "--item", asked.id, "--yes")[0] == 0
    waiting.join(60)
    assert len(got) == 1
    assert producer.item(asked.id).arguments is None
    assert producer.item(asked.id).state == "cancelled"


def test_an_item_that_still_runs_is_named_and_erased_another_time(
    producer: Producer, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = complete.delay("my secret")
    with producer.ledger.write() as connection:
        connection.execute(
            update(items).where(items.c.id == asked.id).values(state="running", fence=1)
        )
    words = ["erase", "--item", asked.id, "--yes", "--patience", "0"]
    status, out, _ = run(capsys, *words)
    assert (status, "1 still run" in out) == (1, True)
    assert producer.item(asked.id).cancel_requested
    producer.kill(asked.id, "exhausted")
    assert run(capsys, *words)[0] == 0
    assert producer.item(asked.id).arguments is None


def test_dead_letters_are_exported_with_their_attempts_and_payloads_on_request(
    producer: Producer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked = complete.delay("my secret")
    producer.kill(asked.id, "no_route")
    kept = complete.delay("other")
    producer.kill(kept.id, "exhausted")
    plain, whole = tmp_path / "plain.jsonl", tmp_path / "whole.jsonl"
    assert run(capsys, "dead-letters", "export", str(plain), "--reason", "no_route")[0] == 0
    [told] = [json.loads(line) for line in plain.read_text().splitlines()]
    assert (told["id"], told["reason"], told["attempts"]) == (asked.id, "no_route", [])
    assert "my secret" not in plain.read_text()
    assert run(capsys, "dead-letters", "export", str(whole), "--payload")[0] == 0
    assert len(whole.read_text().splitlines()) == 2
    assert "my secret" in whole.read_text()
    status, _, err = run(capsys, "dead-letters", "export", str(plain))
    assert (status, "is there already" in err) == (2, True)


def test_a_replay_from_the_command_raises_the_floor_of_what_it_chose(
    producer: Producer, capsys: pytest.CaptureFixture[str]
) -> None:
    old, young = complete.delay("a"), complete.delay("b")
    for item_id in (old, young):
        producer.kill(item_id.id, "rejected")
    with producer.ledger.write() as connection:
        connection.execute(
            text("UPDATE items SET ended_at = ended_at - 700000000000 WHERE id = :id"),
            {"id": old.id},
        )
    words = ["dead-letters", "replay", "--older-than", "7d", "--floor", "frontier"]
    words += ["--max-cost", "0.05usd"]
    assert "would replay 1 " in run(capsys, *words)[1]
    assert "replay: 1 of 1 " in run(capsys, *words, "--yes")[1]
    row = producer.item(old.id)
    assert (row.state, row.floor, row.max_cost) == ("submitted", "frontier", 50_000_000)
    assert producer.item(young.id).state == "dead"


def test_erased_text_stands_in_no_file_of_a_sqlite_ledger_while_others_write(
    producer_to: Callable[[str], Producer],
    sqlite_url: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    producer, secret = producer_to(sqlite_url), "Quillfeather"
    asked = []
    for number in range(40):
        text_ = f"{secret} {number} " + "x" * (number * 97)
        asked.append(complete.delay(text_, metadata={"customer": secret}))
        producer.tell(
            producer.answer(asked[-1].id, {"text": f"{secret} again" + "y" * (number * 53)})
        )
    files = [Path(sqlite_url.removeprefix("sqlite:///") + end) for end in ("", "-wal", "-shm")]
    assert sum(file.read_bytes().count(secret.encode()) for file in files) > 80
    stopping = threading.Event()
    written = []

    def go_on_working() -> None:
        while not stopping.is_set():
            written.append(complete.delay("another's").id)

    working = threading.Thread(target=go_on_working)
    working.start()
    try:
        until(lambda: written)
        command = ("erase", "--metadata", f"customer={secret}", "--yes")
        status, out, _ = run(capsys, *command, "--json")
        before = len(written)
        until(lambda: len(written) > before)
    finally:
        stopping.set()
        working.join()
    told = json.loads(out)
    assert (status, told["erased"]) == (0, 40)
    assert not any("ledger" in place for place in told["may_be_left_in"])
    assert [file.read_bytes().count(secret.encode()) for file in files] == [0, 0, 0]
    assert {row.id for row in producer.all_items()} == {*written, *(result.id for result in asked)}


def test_an_erasure_says_where_text_may_be_left(
    producer: Producer, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = complete.delay("my secret")
    producer.tell(producer.answer(asked.id, {"text": "an answer"}))
    _, out, _ = run(capsys, "erase", "--item", asked.id, "--yes")
    assert "BGREWRITEAOF" in out
    assert ("VACUUM FULL" in out) == (producer.ledger.dialect == "postgresql")
