"""Flower shows every item with its true state and none of its contents."""

import json
import os
import socket
import urllib.parse
import urllib.request
from typing import Any

import pytest

from tests.acceptance.acceptance_system import Build, RunningSystem
from tests.waiting import until
from tierqueue.ledger.in_force import conditions
from tierqueue.router.condition import REFUSALS, Fault
from tierqueue.router.errors import NoRoute
from tierqueue.tasks import classify
from tierqueue.tasks.app import app

LABELS = ["lost card", "refund"]


@pytest.fixture(scope="module")
def running(build_system: Build) -> RunningSystem:
    """A system with Flower."""
    return build_system(
        processes=("sandbox", "flower", "routing", "gpu"),
        environ={"FLOWER_UNAUTHENTICATED_API": "true"},
    )


def _tasks(running: RunningSystem) -> dict[str, Any]:
    address = f"http://127.0.0.1:{running.system.flower_port}/api/tasks"
    with urllib.request.urlopen(address, timeout=60) as reply:
        found: dict[str, Any] = json.load(reply)
    return found


def _press(running: RunningSystem, button: str, **fields: Any) -> Any:
    """What Flower answers to one of its own buttons."""
    address = f"http://127.0.0.1:{running.system.flower_port}/api/{button}"
    data = urllib.parse.urlencode(fields).encode()
    with urllib.request.urlopen(address, data=data, timeout=60) as reply:
        return json.load(reply)


def _calls_at_once(running: RunningSystem, worker: str) -> int | None:
    """How many calls the worker lets through, as Flower shows it; ``None`` before it shows it."""
    address = f"http://127.0.0.1:{running.system.flower_port}/api/workers?refresh=1"
    with urllib.request.urlopen(address, timeout=60) as reply:
        shown = json.load(reply)
    pool = shown.get(worker, {}).get("stats", {}).get("pool", {})
    return None if "max-concurrency" not in pool else int(pool["max-concurrency"])


def test_the_buttons_for_grow_and_shrink_change_how_many_calls_run_at_once(
    running: RunningSystem,
) -> None:
    worker = f"gpu@{socket.gethostname()}"
    before = until(lambda: _calls_at_once(running, worker))
    assert "Growing" in _press(running, f"worker/pool/grow/{worker}", n=3)["message"]
    assert until(lambda: _calls_at_once(running, worker) == before + 3)
    assert "Shrinking" in _press(running, f"worker/pool/shrink/{worker}", n=3)["message"]
    assert until(lambda: _calls_at_once(running, worker) == before)
    classify.delay("after all that", labels=LABELS).get(timeout=60)


def test_the_button_for_revoke_cancels_the_item(running: RunningSystem) -> None:
    later = classify.apply_async(("not now",), {"labels": LABELS}, countdown=3600)
    until(lambda: running.item(later.id).state == "waiting")
    _press(running, f"task/revoke/{later.id}", terminate="false")
    until(lambda: running.item(later.id).state == "cancelled")


def test_items_have_their_names_and_their_true_states(running: RunningSystem) -> None:
    good = classify.delay("a sentence nobody may see", labels=LABELS)
    good.get(timeout=60)
    bad = classify.delay("another one", labels=LABELS, sensitivity="regulated", floor="frontier")
    with pytest.raises(NoRoute):
        bad.get(timeout=60)
    until(lambda: _tasks(running).get(good.id, {}).get("state") == "SUCCESS")
    until(lambda: _tasks(running).get(bad.id, {}).get("state") == "FAILURE")
    shown = _tasks(running)
    assert shown[good.id]["name"] == "tierqueue.classify"
    assert "NoRoute" in shown[bad.id]["exception"]
    assert "nobody may see" not in json.dumps(shown)


def _page(running: RunningSystem, path: str) -> str:
    address = f"http://127.0.0.1:{running.system.flower_port}{path}"
    with urllib.request.urlopen(address, timeout=60) as reply:
        return str(reply.read().decode())


def test_a_dead_item_shows_why_where_and_what_it_cost(running: RunningSystem) -> None:
    bad = classify.delay("nobody sees", labels=LABELS, sensitivity="regulated", floor="frontier")
    with pytest.raises(NoRoute):
        bad.get(timeout=60)
    shown = until(lambda: (_tasks(running).get(bad.id) or {}).get("exception"))
    assert shown.startswith("NoRoute: ")
    assert "(never routed, $0.00" in shown
    page = _page(running, f"/task/{bad.id}")
    assert "no_route" in page
    assert "nobody sees" not in page


def test_a_command_that_tells_of_an_item_is_no_worker(running: RunningSystem) -> None:
    with app.events.default_dispatcher() as command:
        command.send("task-received", uuid="a-command", name="tierqueue.classify")
    until(lambda: _tasks(running).get("a-command"))
    worker, named = f"gpu@{socket.gethostname()}", f"gen{os.getpid()}@"
    until(lambda: worker in _page(running, "/workers?json=1"))
    assert named not in _page(running, "/workers")
    assert named not in _page(running, "/workers?json=1")


def test_workers_whose_deployment_is_held_back_say_so(running: RunningSystem) -> None:
    worker = f"gpu@{socket.gethostname()}"

    def told() -> str:
        rows = json.loads(_page(running, "/workers?json=1"))["data"]
        return str([row["loadavg"] for row in rows if row["hostname"] == worker])

    until(lambda: told() != "[]")
    assert "NOT CALLED" not in told()
    at = running.ledger.now()
    refused = [
        Fault(item=f"i-{number}", begun=at, at=at, code="unauthorized", detail="HTTP 401")
        for number in range(REFUSALS)
    ]
    with running.ledger.write() as connection:
        conditions.note(connection, {"house": refused})
    until(lambda: "NOT CALLED house: unauthorized" in told())
    assert "put a key that is valid into SANDBOX_KEY" in _page(running, "/workers")
