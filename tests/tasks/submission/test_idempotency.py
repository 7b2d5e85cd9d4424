"""One idempotency key is one item, whoever comes with it, as wide and as long as was declared."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import group
from sqlalchemy import text, update

from tests.fork_server import ForkServer
from tests.tasks.producer import Producer
from tests.waiting import until
from tierqueue.ledger.tables import items
from tierqueue.router.errors import InvalidItem
from tierqueue.tasks import Prompt, complete, item_task
from tierqueue.tasks.app import app
from tierqueue.tasks.submission.item_task import ItemTask

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

# Ten processes that wait for each other, then call, then wait for the answer.
TEN = """
import json, multiprocessing, sys
from tierqueue.tasks import complete

def call(barrier, said):
    barrier.wait()
    asked = complete.delay("Say hello", idempotency_key="order-7")
    said.put([asked.id, asked.get(timeout=60)["output"]])

fork = multiprocessing.get_context("fork")
barrier, said = fork.Barrier(10), fork.Queue()
ten = [fork.Process(target=call, args=(barrier, said)) for _ in range(10)]
for thread in ten: thread.start()
answers = [said.get(timeout=90) for _ in ten]
for thread in ten: thread.join()
print(json.dumps(answers))
"""


@pytest.fixture
def producer(producer_to: Callable[[str], Producer], ledger_url: str) -> Producer:
    """A producer on each database."""
    return producer_to(ledger_url)


@pytest.fixture
def declare() -> Iterator[Callable[..., ItemTask]]:
    """Declares a task type for one test."""
    made: list[str] = []

    def of(name: str, **options: Any) -> ItemTask:
        def build(word: str) -> Prompt:
            return Prompt(system="s", prefix="p", question=word)

        made.append(name)
        return item_task(name, output=None, **options)(build)

    yield of
    for name in made:
        ItemTask.declared.pop(name, None)
        app.tasks.pop(name, None)


def test_ten_processes_at_once_with_one_key_are_one_item_and_ten_equal_answers(
    forks: ForkServer, producer: Producer, tmp_path: Path
) -> None:
    # Ten processes on a busy machine stand still for longer than a tenth of the usual lease.
    environ = {**os.environ, "TIERQUEUE_LEASE": "300"}
    process = forks.start(["python", "-c", TEN], environ=environ, output=tmp_path / "said")

    def promised() -> int:
        assert process.poll() is None, (tmp_path / "said").read_text()
        with producer.ledger.read() as connection:
            count = connection.execute(text("SELECT count(*) FROM promises")).scalar()
        return int(count or 0)

    until(lambda: promised() == 10)
    [row] = producer.all_items()
    producer.tell(producer.answer(row.id, {"text": "hello"}))
    assert process.wait(90) == 0
    answers = json.loads((tmp_path / "said").read_text().splitlines()[-1])
    assert len({asked for asked, _ in answers}) == 10
    assert [answer for _, answer in answers] == [{"text": "hello"}] * 10


def test_a_key_is_one_item_of_its_task_type(
    producer: Producer, declare: Callable[..., ItemTask]
) -> None:
    one, other = declare("tests.one"), declare("tests.other")
    for result in (one, one, other):
        result.delay("x", idempotency_key="k")
    assert sorted(row.task for row in producer.all_items()) == ["tests.one", "tests.other"]
    with pytest.raises(InvalidItem, match="other arguments or demands"):
        one.delay("x", idempotency_key="k", budget="acme")


def test_a_key_may_be_one_item_of_each_budget(
    producer: Producer, declare: Callable[..., ItemTask]
) -> None:
    task = declare("tests.tenants", idempotency_scope="budget")
    for budget in ("acme", "acme", "zenith", None):
        stated = {} if budget is None else {"budget": budget}
        task.delay("x", idempotency_key="k", **stated)
    budgets = [row.budget for row in producer.all_items()]
    assert sorted(str(name) for name in budgets) == ["None", "acme", "zenith"]


def test_a_key_whose_lifetime_has_passed_is_another_item(
    producer: Producer, declare: Callable[..., ItemTask]
) -> None:
    task = declare("tests.weekly", idempotency_lifetime="7d")
    for _ in range(2):
        task.delay("x", idempotency_key="k")
    [row] = producer.all_items()
    assert row.key_expires_at - row.submitted_at == 7 * 86_400_000_000
    with producer.ledger.write() as connection:
        connection.execute(update(items).values(key_expires_at=items.c.submitted_at - 1))
    task.delay("y", idempotency_key="k")
    assert [row.arguments["word"] for row in producer.all_items()] == ["x", "y"]


def test_a_key_without_a_lifetime_is_never_free(producer: Producer) -> None:
    complete.delay("x", idempotency_key="k")
    assert producer.all_items()[0].key_expires_at is None


@pytest.mark.parametrize(
    "options", [{"idempotency_scope": "galaxy"}, {"idempotency_lifetime": "soon"}]
)
def test_a_scope_or_lifetime_that_is_none_is_refused_at_the_declaration(
    declare: Callable[..., ItemTask], options: dict[str, str]
) -> None:
    with pytest.raises(InvalidItem, match="idempotency_"):
        declare("tests.wrong", **options)


def test_the_answer_of_an_item_that_has_ended_is_there_at_once(
    producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = complete.delay("Say hello", idempotency_key="k")
    producer.tell(producer.answer(first.id, {"text": "hello"}))

    def waited(*_: Any, **__: Any) -> None:
        raise AssertionError("it waited for an answer that is there")

    monkeypatch.setattr(producer.app.backend.result_consumer, "drain_events", waited)
    again = complete.delay("Say hello", idempotency_key="k")
    assert again.get(timeout=60)["output"] == {"text": "hello"}
    both = group(complete.s("Say hello", idempotency_key="k") for _ in range(2)).apply_async()
    assert [answer["output"] for answer in both.get(timeout=60)] == [{"text": "hello"}] * 2
