"""What producers get: results, links, chains, groups and chords, in code."""

import json
from typing import Any

import pytest
from celery import chain, group
from celery.app.task import Context
from redis.connection import AbstractConnection
from sqlalchemy import text

from tests.tasks.foreign_app import autopsy, echo, mourn
from tests.tasks.foreign_app import foreign as foreign_app
from tests.tasks.producer import Producer
from tests.waiting import until
from tierqueue.ledger.results import promises as ledger_promises
from tierqueue.ledger.results.promises import Ending, Promise
from tierqueue.router.errors import Cancelled, CostCeilingExceeded, InvalidItem
from tierqueue.router.lifecycle import State
from tierqueue.tasks import classify, complete, extract, summarize
from tierqueue.tasks.results import fulfil
from tierqueue.tasks.results.cancellation import cancel_behind

pytestmark = [
    pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning"),
    # Celery leaves sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def _foreign_tasks_know_the_broker(valkey: Any) -> None:
    foreign_app.conf.update(broker_url=valkey.url, result_backend=valkey.url)


def test_a_result_is_the_answer_with_its_receipt(producer: Producer) -> None:
    asked = complete.delay("Say hello")
    producer.tell(producer.answer(asked.id, {"text": "hello"}, tier="gpu"))
    assert asked.get(timeout=60)["output"] == {"text": "hello"}
    assert asked.state == "SUCCESS"


def test_a_dead_letter_raises_its_own_error_with_its_fields(producer: Producer) -> None:
    asked = complete.delay("Say hello")
    producer.tell(producer.kill(asked.id, "cost_ceiling", limit=5, needed=7))
    with pytest.raises(CostCeilingExceeded) as raised:
        asked.get(timeout=60)
    assert raised.value.fields == {"limit": 5, "needed": 7}
    assert asked.state == "FAILURE"


def test_a_producer_without_tierqueue_gets_an_error_of_the_same_name(
    producer: Producer, stranger: Any
) -> None:
    asked = complete.delay("Say hello")
    producer.tell(producer.kill(asked.id, "cost_ceiling", limit=5))
    stored = stranger.backend.decode(
        stranger.backend.get(stranger.backend.get_key_for_task(asked.id))
    )["result"]
    # As it reads where the module is not installed.
    elsewhere = stranger.backend.exception_to_python({**stored, "exc_module": "not.installed"})
    assert type(elsewhere).__name__ == "CostCeilingExceeded"
    assert elsewhere.args == ("died of cost_ceiling", {"limit": 5})


def test_a_cancelled_item_reads_revoked_and_raises_cancelled(producer: Producer) -> None:
    asked = complete.delay("Say hello")
    assert cancel_behind(producer.app, [asked.id, "nobody's"]) == {asked.id}
    with pytest.raises(Cancelled):
        asked.get(timeout=60)
    assert asked.state == "REVOKED"


def test_many_plain_promises_take_one_round_trip(
    producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [complete.delay(f"number {index}") for index in range(50)]
    endings = {result.id: producer.answer(result.id, {"text": result.id}) for result in asked}
    with producer.ledger.read() as connection:
        promised = ledger_promises.unfulfilled(connection, list(endings))
    owed = [(promise, endings[promise.item_id]) for promise in promised]
    # The connection is open and the script known, as in a worker that has kept promises before.
    producer.fulfil(owed[:1])
    read = AbstractConnection.read_response
    replies: list[Any] = []

    def noted(connection: Any, *args: Any, **more: Any) -> Any:
        replies.append(read(connection, *args, **more))
        return replies[-1]

    monkeypatch.setattr(AbstractConnection, "read_response", noted)
    assert len(producer.fulfil(owed)) == 50
    assert len(replies) == 1
    assert [result.get(timeout=60)["output"]["text"] for result in asked] == [
        result.id for result in asked
    ]


def test_a_result_is_stored_exactly_as_celery_stores_it(producer: Producer) -> None:
    backend = producer.app.backend
    context = {"id": "x", "group": "the-group", "parent_id": "the-parent", "delivery_info": {}}
    promise = Promise(
        id="x", item_id="x", task="t", group_id="the-group", parent_id="the-parent", root_id="r"
    )
    answer = {"output": {"text": "h\u00e9"}, "receipt": {"cost": 1}}
    error = {"reason": "cost_ceiling", "message": "too expensive", "fields": {"limit": 5}}
    endings = [
        Ending(item_id="x", state=State.SUCCEEDED, answer=answer, error=None),
        Ending(item_id="x", state=State.DEAD, answer=None, error=error),
        Ending(
            item_id="x", state=State.CANCELLED, answer=None, error={**error, "reason": "cancelled"}
        ),
    ]
    for ending in endings:
        ours, theirs = "celery-task-meta-x", "celery-task-meta-y"
        backend.client.delete(ours)
        assert producer.fulfil([(promise, ending)]) == ["x"]
        state, result = fulfil.celery_result(ending)
        backend.client.delete(theirs)
        backend.store_result("y", result, state, request=Context(context))
        stored = [json.loads(backend.client.get(key)) for key in (ours, theirs)]
        for result in stored:
            assert result.pop("date_done")
            result.pop("task_id")
        assert stored[0] == stored[1]
        lives = [backend.client.ttl(key) for key in (ours, theirs)]
        assert abs(lives[0] - lives[1]) <= 2


def test_without_a_broker_nothing_is_kept_and_nothing_raises(producer: Producer) -> None:
    asked = complete.delay("Say hello")
    ending = producer.answer(asked.id, {"text": "hello"})
    with producer.ledger.read() as connection:
        owed = [
            (promise, ending) for promise in ledger_promises.unfulfilled(connection, [asked.id])
        ]

    class Broken:
        def register_script(self, _: str) -> Any:
            raise ConnectionError("no broker")

    class App:
        class backend:  # noqa: N801
            client = Broken()

    assert fulfil.fulfil(App, producer.ledger, lambda: None, owed) == []  # type: ignore[arg-type]
    assert producer.fulfil(owed) == [asked.id]


def test_a_group_of_items_gives_its_answers_in_order(producer: Producer) -> None:
    asked = group(complete.s(f"number {index}") for index in range(3)).apply_async()
    for result in reversed(asked.results):
        producer.tell(producer.answer(result.id, {"text": result.id}))
    answers = asked.get(timeout=60)
    assert [answer["output"]["text"] for answer in answers] == [
        result.id for result in asked.results
    ]


def test_a_chain_of_items_hands_the_output_on(producer: Producer) -> None:
    asked = chain(
        extract.s("Ada, 36", {"age": "integer"}),
        complete.si("and now?"),
        summarize.si("a long text"),
    ).apply_async()
    first = asked.parent.parent.id
    producer.tell(producer.answer(first, {"age": 36}))
    second = producer.item(asked.parent.id)
    assert second.task == "tierqueue.complete"
    producer.tell(producer.answer(asked.parent.id, {"text": "next"}))
    producer.tell(producer.answer(asked.id, {"summary": "short"}))
    assert asked.get(timeout=60)["output"] == {"summary": "short"}


def test_a_chain_fails_to_its_end_when_a_step_dies(producer: Producer) -> None:
    asked = chain(complete.s("one"), complete.si("two"), complete.si("three")).apply_async()
    producer.tell(producer.kill(asked.parent.parent.id, "exhausted"))
    with pytest.raises(Exception, match="died of exhausted"):
        asked.get(timeout=60)
    assert len(producer.all_items()) == 1


def test_a_chain_whose_next_step_cannot_take_the_answer_fails_loudly(producer: Producer) -> None:
    asked = chain(complete.s("one"), classify.s(labels=["one"]), complete.si("x")).apply_async()
    producer.tell(producer.answer(asked.parent.parent.id, {"text": "fine"}))
    with pytest.raises(InvalidItem):
        asked.parent.get(timeout=60)
    with pytest.raises(InvalidItem):
        asked.get(timeout=60)
    assert {row.reason for row in producer.all_items()} == {None, "invalid"}
    assert producer.item(asked.parent.id).arguments["kwargs"] == {"labels": ["one"]}


def test_a_link_told_twice_makes_one_item_with_its_parent_and_root(producer: Producer) -> None:
    asked = complete.apply_async(("one",), link=[complete.si("linked"), complete.si("too")])
    producer.tell_twice(producer.answer(asked.id, {"text": "done"}))
    linked = [row for row in producer.all_items() if row.id != asked.id]
    assert len(linked) == 2
    with producer.ledger.read() as connection:
        made = ledger_promises.unfulfilled(connection, [row.id for row in linked])
    assert {(item_id.parent_id, item_id.root_id) for item_id in made} == {(asked.id, asked.id)}
    assert sorted(child.id for child in asked.children) == sorted(row.id for row in linked)


def test_a_linked_chain_and_group_told_twice_make_their_items_once(producer: Producer) -> None:
    asked = complete.apply_async(
        ("one",),
        link=[
            chain(complete.si("c1"), complete.si("c2")),
            group(complete.si("g1"), complete.si("g2")),
        ],
    )
    producer.tell_twice(producer.answer(asked.id, {"text": "done"}))
    # Past the marker's life: only the ids stand between this and a second item.
    producer.app.backend.client.delete(f"tierqueue-promise-{asked.id}")
    with producer.ledger.write() as connection:
        connection.execute(text("UPDATE promises SET kept_at = NULL"))
    producer.tell_twice(producer.answer(asked.id, {"text": "done"}))
    prompts = sorted(row.arguments["prompt"] for row in producer.all_items())
    assert prompts == ["c1", "g1", "g2", "one"]


def test_an_answer_inherits_the_strictest_sensitivity(producer: Producer) -> None:
    first = complete.apply_async(
        ("one",), link=complete.s(system="the other", sensitivity="internal")
    )
    producer.tell(producer.answer(first.id, "plain text", sensitivity="confidential"))
    linked = next(row for row in producer.all_items() if row.id != first.id)
    assert (linked.sensitivity, linked.inherits) == ("internal", "confidential")
    assert linked.arguments["prompt"] == "plain text"


def test_callbacks_to_another_team_go_to_its_own_queue(producer: Producer, foreign: Any) -> None:
    asked = complete.apply_async(
        ("one",),
        link=echo.s(tag="linked"),
        link_error=[mourn.s(), autopsy.s()],
    )
    producer.tell_twice(producer.answer(asked.id, {"text": "done"}))
    until(producer.notes)
    assert asked.children[0].get(timeout=60)["output"] == {"text": "done"}
    assert producer.notes() == [["echo", "linked", asked.id, asked.id]]
    dead = complete.apply_async(("two",), link_error=[mourn.s()])
    producer.tell_twice(producer.kill(dead.id, "exhausted"))
    until(lambda: ["mourn", dead.id] in producer.notes())
    assert producer.notes().count(["mourn", dead.id]) == 1


def test_a_chain_through_another_teams_task_comes_true(
    producer: Producer, foreign: Any, intake: Any
) -> None:
    asked = chain(complete.s("ours"), echo.s(), complete.si("ours again")).apply_async()
    producer.tell(producer.answer(asked.parent.parent.id, {"text": "x"}))
    # Their worker sends the last step by name, to the queue its signature states.
    until(lambda: producer.item(asked.id))
    producer.tell(producer.answer(asked.id, {"text": "end"}))
    assert asked.get(timeout=60)["output"] == {"text": "end"}


def test_a_promise_being_kept_elsewhere_is_left_alone(producer: Producer) -> None:
    asked = complete.apply_async(("one",), link=complete.si("linked"))
    ending = producer.answer(asked.id, {"text": "done"})
    marker = f"tierqueue-promise-{asked.id}"
    producer.app.backend.client.set(marker, "sending")
    producer.tell(ending)
    assert len(producer.all_items()) == 1
    producer.app.backend.client.delete(marker)
    producer.tell(ending)
    assert len(producer.all_items()) == 2
    assert not fulfil.unattended()
