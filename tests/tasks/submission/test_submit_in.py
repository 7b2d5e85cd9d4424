"""``submit_in``: an item in the caller's own transaction, there with it or not at all."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session

from tests.tasks.producer import Producer
from tierqueue.router.errors import InvalidItem, Misconfigured
from tierqueue.tasks import classify, complete
from tierqueue.tasks.broker.wakes import Wakes

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class CountedWakes(Wakes):
    """Counts what is asked for and sends nothing."""

    def __init__(self) -> None:
        super().__init__(lambda: None)
        self.asked = 0

    def call(self) -> None:
        self.asked += 1


@pytest.fixture
def producer(producer_to: Callable[[str], Producer], ledger_url: str) -> Producer:
    """A producer on each database."""
    return producer_to(ledger_url)


@pytest.fixture
def wakes(producer: Producer) -> CountedWakes:
    """The wakes this producer asks for."""
    counted = CountedWakes()
    producer.app.installation.wakes = counted
    return counted


@pytest.fixture
def engine(ledger_url: str, producer: Producer) -> Iterator[Engine]:
    """The caller's own engine and table on the ledger's database."""
    own = create_engine(ledger_url)
    with own.begin() as connection:
        connection.execute(text("CREATE TABLE orders (item TEXT)"))
    yield own
    own.dispose()


def _orders(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(text("SELECT item FROM orders")).scalars())


def _order(caller: Any, item_id: str) -> None:
    caller.execute(text("INSERT INTO orders VALUES (:item)"), {"item": item_id})


def test_an_item_is_there_once_the_session_commits_and_wakes_then(
    producer: Producer, engine: Engine, wakes: CountedWakes
) -> None:
    with Session(engine) as session:
        asked = complete.submit_in(session, "Say hello", budget="acme")
        _order(session, asked.id)
        assert (producer.all_items(), wakes.asked) == ([], 0)
        session.commit()
        assert wakes.asked == 1
        session.execute(text("SELECT 1"))
        session.commit()
    assert wakes.asked == 1
    [row] = producer.all_items()
    assert (row.id, row.budget, row.state) == (asked.id, "acme", "submitted")
    assert _orders(engine) == [asked.id]
    producer.tell(producer.answer(asked.id, {"text": "hello"}))
    assert asked.get(timeout=60)["output"] == {"text": "hello"}


def test_a_rollback_leaves_no_item_and_no_promise_and_wakes_nobody(
    producer: Producer, engine: Engine, wakes: CountedWakes
) -> None:
    with Session(engine) as session:
        _order(session, complete.submit_in(session, "Say hello").id)
        session.rollback()
        session.execute(text("SELECT 1"))
        session.commit()
    assert (producer.all_items(), _orders(engine), wakes.asked) == ([], [], 0)
    with producer.ledger.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM promises")).scalar() == 0


def test_a_core_connection_commits_and_rolls_back_with_its_items(
    producer: Producer, engine: Engine, wakes: CountedWakes
) -> None:
    with engine.begin() as connection:
        asked = complete.submit_in(connection, "Say hello")
    with engine.connect() as connection:
        complete.submit_in(connection, "Say no more")
        connection.rollback()
    assert [row.id for row in producer.all_items()] == [asked.id]
    assert wakes.asked == 1


def test_many_items_in_one_transaction_come_together(
    producer: Producer, engine: Engine, wakes: CountedWakes
) -> None:
    with Session(engine) as session, session.begin():
        asked = [classify.submit_in(session, f"text {n}", labels=["a", "b"]) for n in range(3)]
    assert [row.id for row in producer.all_items()] == sorted(result.id for result in asked)
    assert wakes.asked >= 1


def test_bad_input_is_refused_and_the_session_lives_on(producer: Producer, engine: Engine) -> None:
    with Session(engine) as session:
        with pytest.raises(InvalidItem):
            complete.submit_in(session)  # type: ignore[call-arg]
        _order(session, "other work")
        session.commit()
    assert (producer.all_items(), _orders(engine)) == ([], ["other work"])


def test_what_is_no_session_is_refused(producer: Producer) -> None:
    with pytest.raises(Misconfigured, match="Session or Connection"):
        complete.submit_in(object(), "Say hello")
