"""Junk on every queue and every channel of a whole system: nothing ends, nothing is left."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from tests.acceptance.acceptance_system import Build, RunningSystem
from tests.tasks.consumer.junk import DEEP, SECRET, call, entry, spoilt, spoilt_slice
from tests.waiting import until
from tierqueue.ledger.tables import raw_messages
from tierqueue.tasks import classify
from tierqueue.tasks.app import app
from tierqueue.tasks.broker import names

CONTROL = "/0.celery.pidbox"
"""The channel on which Celery's workers hear commands."""


@pytest.fixture(scope="module")
def running(build_system: Build) -> RunningSystem:
    """The Procfile's stages and workers, on one database: junk at the broker never comes to it."""
    return build_system()


def alive(running: RunningSystem) -> bool:
    for name, process in running.system.processes.items():
        assert process.popen.poll() is None, f"{name}: {process.log.read_text()[-2000:]}"
    return True


def nothing_left(client: Any) -> bool:
    unread = client.llen("route") or client.llen("gpu")
    return not (unread or client.hlen("unacked") or client.hlen(names.UNACKED))


def ten_good_calls_come_through(running: RunningSystem) -> None:
    asked = [classify.delay(f"ticket {n}", labels=["card", "other"]) for n in range(10)]
    assert all(result.get(timeout=60)["receipt"]["tier"] == "gpu" for result in asked)
    by_name = [
        app.signature("tierqueue.complete", queue="route", kwargs={"prompt": f"hello {n}"})
        for n in range(10)
    ]
    sent = [app.send_task(result.task, kwargs=result.kwargs, queue="route") for result in by_name]
    assert all(result.get(timeout=60)["output"]["text"] for result in sent)
    alive(running)


def test_junk_on_a_tier_s_queue_and_on_the_routing_stage_s_ends_nothing(
    running: RunningSystem,
) -> None:
    client = app.backend.client
    on_route = spoilt("route", "tierqueue.complete") | spoilt("route", names.WAKE)
    on_gpu = (
        spoilt_slice("gpu", "house")
        | spoilt("gpu", names.SLICE)
        | spoilt("gpu", "tierqueue.complete")
    )

    @settings(max_examples=20, suppress_health_check=list(HealthCheck))
    @given(st.lists(on_route, min_size=5, max_size=10), st.lists(on_gpu, min_size=5, max_size=10))
    def junk(for_route: list[bytes], for_gpu: list[bytes]) -> None:
        client.lpush("route", *for_route)
        client.lpush("gpu", *for_gpu)
        until(lambda: alive(running) and nothing_left(client))

    junk()
    ten_good_calls_come_through(running)
    with running.ledger.read() as connection:
        kept = connection.execute(select(func.count()).select_from(raw_messages)).scalar_one()
    assert kept > 0
    for process in running.system.processes.values():
        assert SECRET not in process.log.read_text()


def test_junk_among_the_commands_ends_no_worker(running: RunningSystem) -> None:
    client = app.backend.client
    command = {**call("celery.pidbox"), "body": {"method": "no_such_command", "arguments": 5}}
    for junk in (
        b"no envelope",
        b"5",
        b"[" * 200_000 + b"]" * 200_000,
        json.dumps({"body": SECRET}).encode(),
        json.dumps({"properties": 5}).encode(),
        entry({**command, "body": DEEP}),
        entry({**command, "body": "%%%"}),
        entry({**command, "headers": {"clock": "noon"}}),
        entry({**command, "content-type": "application/x-python-serialize"}),
        entry(command),
    ):
        assert client.publish(CONTROL, junk) >= 4
        assert len(app.control.ping(timeout=60, limit=4)) == 4, junk[:100]
    ten_good_calls_come_through(running)
    for process in running.system.processes.values():
        assert SECRET not in process.log.read_text()


def lost(running: RunningSystem) -> dict[str, int]:
    """How often each process of ours lost its broker."""
    processes = running.system.processes.items()
    said = {name: process.log.read_text() for name, process in processes if name != "sandbox"}
    return {name: text.count("broker lost") for name, text in said.items()}


def test_a_broker_that_takes_no_writes_ends_no_process(running: RunningSystem) -> None:
    client, before = app.backend.client, lost(running)
    client.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        asked = classify.delay("my card is lost", labels=["card", "other"])
        until(lambda: all(times > before[name] for name, times in lost(running).items()))
    finally:
        client.execute_command("REPLICAOF", "NO", "ONE")
    assert asked.get(timeout=60)["receipt"]["tier"] == "gpu"
    ten_good_calls_come_through(running)


@pytest.mark.parametrize("queue", ["route", "gpu"])
def test_something_else_under_a_queue_s_name_ends_no_process(
    running: RunningSystem, queue: str
) -> None:
    client, before = app.backend.client, lost(running)[queue.replace("route", "routing")]
    client.delete(queue)
    client.set(queue, SECRET)
    try:
        until(lambda: lost(running)[queue.replace("route", "routing")] > before)
    finally:
        client.delete(queue)
    ten_good_calls_come_through(running)
    for process in running.system.processes.values():
        assert SECRET not in process.log.read_text()
