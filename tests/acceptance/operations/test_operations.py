"""A system under its operators' hands: paused, emptied of its broker, asked how it is."""

import json
from typing import Any

import pytest
from celery import chord

from tests.acceptance.acceptance_system import Build, RunningSystem
from tests.waiting import until
from tierqueue.ledger import tables
from tierqueue.ledger.in_force import pauses
from tierqueue.ledger.monitoring import progress
from tierqueue.migrations import head
from tierqueue.operations.health import check
from tierqueue.router.errors import NoRoute
from tierqueue.tasks import classify, complete
from tierqueue.tasks.app import app
from tierqueue.tasks.broker import names
from tierqueue.tasks.findings.finding import SILENT_SECONDS

pytestmark = [
    pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

LABELS = ["billing", "login"]
OPEN: Any = {"floor": "open_weight", "sensitivity": "public"}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def running(request: pytest.FixtureRequest, build_system: Build) -> RunningSystem:
    """A system with a routing stage and one tier, on each database."""
    server = request.getfixturevalue("postgresql") if request.param == "postgresql" else None
    url = None if server is None else server.empty_database()
    # What the broker forgot is sent again after two leases.
    environ = {"TIERQUEUE_LEASE": "8"}
    return build_system(url, processes=("sandbox", "routing", "open_weight"), environ=environ)


def _states(running: RunningSystem, ids: list[str]) -> set[str]:
    return {running.item(item_id).state for item_id in ids}


def test_a_paused_budget_waits_through_a_restart_and_goes_on_when_it_is_resumed(
    running: RunningSystem,
) -> None:
    with running.ledger.write() as connection:
        pauses.pause(connection, "budget", "acme", "ada")
    held = [classify.delay(f"held {n}", LABELS, budget="acme", **OPEN) for n in range(5)]
    free = [classify.delay(f"free {n}", LABELS, **OPEN) for n in range(5)]
    for result in free:
        result.get(timeout=60)
    ids = [result.id for result in held]
    until(lambda: _states(running, ids) == {"routed"})
    old = running.system.processes["routing"]
    old.end()
    old.wait(60)
    running.system.spawn("routing").wait_ready()
    classify.delay("free again", LABELS, **OPEN).get(timeout=60)
    assert _states(running, ids) == {"routed"}
    with running.ledger.write() as connection:
        pauses.resume(connection, "budget", "acme", "ada")
    for result in held:
        result.get(timeout=60)
    assert _states(running, ids) == {"succeeded"}


def test_get_and_chords_come_true_although_the_broker_forgets_everything(
    running: RunningSystem,
) -> None:
    asked = [classify.delay(f"text {n}", LABELS, **OPEN) for n in range(40)]
    open_chord = chord(
        [complete.s(f"part {n}", **OPEN) for n in range(8)], complete.si("body", **OPEN)
    )()
    until(lambda: "succeeded" in _states(running, [result.id for result in asked]))
    client = app.backend.client
    client.flushall()
    for result in asked:
        assert result.get(timeout=60)["output"]["label"] in LABELS
    assert open_chord.get(timeout=60)["receipt"]["simulated"]
    until(lambda: client.exists(names.EPOCH))


def test_the_system_says_that_it_is_well_and_who_does_what(running: RunningSystem) -> None:
    until(lambda: check(app).well)

    def kinds() -> set[tuple[str, str | None]]:
        with running.ledger.read() as connection:
            now = progress.snapshot(connection)
        alive = [process for process in now.processes if process.silent < SILENT_SECONDS]
        return {(process.kind, process.tier) for process in alive if process.since}

    assert until(lambda: kinds() == {("routing", None), ("worker", "open_weight")})


def test_a_dead_letter_stands_on_its_queue_once(running: RunningSystem) -> None:
    asked = classify.delay("a secret", LABELS, floor="frontier", sensitivity="regulated")
    with pytest.raises(NoRoute):
        asked.get(timeout=60)

    def pauses_shown() -> list[Any]:
        raw = app.backend.client.lrange(names.dead_queue(None), 0, -1)
        return [
            message
            for message in map(json.loads, raw)
            if asked.id in message["headers"]["kwargsrepr"]
        ]

    until(pauses_shown)
    # The tick looks for letters that nobody announced once they are late; then it beats.
    late = running.item(asked.id).ended_at + 2_000_000

    def beat() -> int:
        return int(app.backend.client.get(names.BEAT) or 0)

    until(lambda: beat() > late)
    looked = beat()
    until(lambda: beat() > looked)
    assert len(pauses_shown()) == 1


def test_what_runs_goes_on_beside_a_newer_release(running: RunningSystem) -> None:
    before = [classify.delay(f"before {n}", LABELS, **OPEN) for n in range(10)]
    with running.ledger.write() as connection:
        connection.exec_driver_sql("ALTER TABLE items ADD COLUMN of_a_newer_release TEXT")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'newer'")
    try:
        app.send_task(names.WAKE, kwargs={"newer": 1}, queue=names.ROUTE, ignore_result=True)
        newer = {"deployment": "open", "items": [["nobody", 1, 1, 1, "newer"]], "newer": 1}
        app.send_task(names.SLICE, kwargs=newer, queue="open_weight", ignore_result=True)
        after = [classify.delay(f"after {n}", LABELS, **OPEN) for n in range(10)]
        for result in before + after:
            assert result.get(timeout=60)["output"]["label"] in LABELS
    finally:
        with running.ledger.write() as connection:
            restored = "UPDATE alembic_version SET version_num = "
            connection.exec_driver_sql(f"{restored}'{head()}'")
    with running.ledger.read() as connection:
        assert connection.execute(tables.raw_messages.select()).all() == []
    for name in ("routing", "open_weight"):
        assert "Undecodable" not in (running.system.folder / f"{name}.log").read_text()
