"""What Celery's canvas offers beside groups, chains and chords comes true or is refused."""

from collections.abc import Callable
from typing import Any

import pytest
from celery import group
from celery.canvas import chunks, xmap, xstarmap

from tests.tasks.producer import Producer
from tierqueue.router.errors import Cancelled, InvalidItem
from tierqueue.tasks import complete
from tierqueue.tasks.submission.demands import NAMES

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def _queues(producer: Producer) -> set[bytes]:
    client = producer.app.backend.client
    kept = (b"_kombu", b"celery-task-meta", b"unacked")
    return {key for key in client.scan_iter() if not key.startswith(kept)}


@pytest.mark.parametrize(
    "call",
    [
        lambda: complete.map(["one", "two"]).delay(),
        lambda: complete.starmap([("one",), ("two",)]).apply_async(),
        lambda: complete.chunks([("one",), ("two",)], 1).delay(),
        lambda: complete.chunks([("one",), ("two",)], 1).group().delay(),
        lambda: xmap(complete.s(), ["one"], app=complete.app).delay(),
        lambda: xstarmap(complete.s(), [("one",)], app=complete.app).delay(),
        lambda: chunks(complete.s(), [("one",)], 1, app=complete.app).delay(),
    ],
)
def test_what_no_process_runs_is_refused_at_the_call(
    producer: Producer, call: Callable[[], Any]
) -> None:
    with pytest.raises(InvalidItem, match="use group"):
        call()
    assert producer.all_items() == []
    assert _queues(producer) <= {b"route"}


def test_a_call_by_name_in_a_process_that_knows_the_task_goes_to_the_routing_stage(
    producer: Producer,
) -> None:
    producer.app.send_task("tierqueue.complete", ["one"])
    producer.app.send_task("another.team", ["one"])
    depth = producer.app.backend.client.llen
    assert (depth("route"), depth("celery")) == (1, 1)


def test_signatures_changed_after_they_were_made_come_true(producer: Producer) -> None:
    made = complete.s("one").clone(kwargs={"priority": 7}).set(countdown=3600)
    later = made.delay()
    immutable = complete.si("two").apply_async(("left out",), ignore_result=True, retry=False)
    row = producer.item(later.id)
    assert (row.state, row.priority) == ("waiting", 7)
    assert producer.item(immutable.id).arguments["prompt"] == "two"
    skewed = group(complete.s(word) for word in ("a", "b", "c")).skew(start=3600, stop=7200)
    rows = [producer.item(result.id) for result in skewed.apply_async().results]
    assert {row.state for row in rows} == {"waiting"}

    assert rows[0].ready_at < rows[1].ready_at < rows[2].ready_at


@pytest.mark.parametrize(
    "options",
    [
        {"queue": "mine"},
        {"exchange": "mine"},
        {"routing_key": "mine"},
        {"priority": 3},
        {"time_limit": 3},
        {"soft_time_limit": 3},
    ],
)
def test_an_option_that_the_policy_decides_is_refused(
    producer: Producer, options: dict[str, Any]
) -> None:
    with pytest.raises(InvalidItem, match="not supported: the policy decides the queue"):
        complete.s("one").set(**options).delay()


@pytest.mark.parametrize("demand", sorted(NAMES - {"priority"}))
def test_a_demand_among_celerys_options_is_refused_and_not_left_unheard(
    producer: Producer, demand: str
) -> None:
    stated: dict[str, Any] = {demand: "frontier"}
    with pytest.raises(InvalidItem, match=f"{demand} among Celery's options"):
        complete.apply_async(("one",), **stated)
    with pytest.raises(InvalidItem, match="with its arguments"):
        complete.s("one").set(**{demand: None}).delay()


def test_a_revoke_while_no_process_runs_cancels_what_it_names(producer: Producer) -> None:
    one, two, three = (complete.delay(word) for word in ("one", "two", "three"))
    both = group(complete.s("four"), complete.s("five")).apply_async()
    one.revoke()
    producer.app.control.revoke([two.id, "nobody's"], terminate=True)
    assert producer.app.control.terminate(three.id, reply=True, timeout=0.1)[0]["ledger"]
    both.revoke()
    for result in (one, two, three, *both.results):
        assert producer.item(result.id).state == "cancelled"
        with pytest.raises(Cancelled):
            result.get(timeout=60)


def test_a_revoke_without_the_ledger_raises_and_says_nothing_of_success(
    producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = complete.delay("one")

    def away() -> None:
        raise OSError("the ledger is away")

    monkeypatch.setattr(producer.app.installation.ledger, "write", away)
    with pytest.raises(OSError, match="away"):
        asked.revoke()


def test_a_running_item_is_asked_to_end(producer: Producer) -> None:
    asked = complete.delay("one")
    with producer.ledger.write() as connection:
        connection.exec_driver_sql("UPDATE items SET state = 'running'")
    asked.revoke(terminate=True)
    assert producer.item(asked.id).cancel_requested
