"""``tierqueue worker``, and what anyone would type instead: real Celery worker processes."""

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import psutil
import pytest

from tests.fork_server import ForkServer
from tests.waiting import until
from tierqueue.ledger.monitoring import progress
from tierqueue.ledger.session import Ledger, now
from tierqueue.migrations import upgrade
from tierqueue.operations.cli.system.worker import celery_words, worker
from tierqueue.tasks.broker.names import CALLS

SECRET = "not-to-be-seen"


@pytest.fixture
def environ(valkey_socket: str, tmp_path: Path) -> dict[str, str]:
    """A worker's surroundings, with a ledger and a policy without deployments."""
    (tmp_path / "tierqueue.toml").write_text("", encoding="utf-8")
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    upgrade(url)
    broker = valkey_socket.replace("unix://", "redis+socket://")
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "OPENROUTER_API_KEY": SECRET,
        "TIERQUEUE_BROKER_URL": f"{broker}?virtual_host=8",
        "TIERQUEUE_LEDGER_URL": url,
        "TIERQUEUE_POLICY": str(tmp_path / "tierqueue.toml"),
    }


Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(environ: Mapping[str, str], tmp_path: Path) -> Iterator[Start]:
    """Starts a process; what it says is in ``said``."""
    started = []

    def begin(*words: str) -> "subprocess.Popen[bytes]":
        with (tmp_path / "said").open("wb") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", *words],
                cwd=tmp_path,
                env=dict(environ),
                stdout=said,
                stderr=said,
            )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def test_the_words_name_an_app_that_exists_its_queue_and_its_size() -> None:
    for kind, calls in CALLS.items():
        words = celery_words(kind)
        app = words[words.index("-A") + 1]
        assert importlib.util.find_spec(app) is not None
        assert words[words.index("-Q") + 1] == ("route" if kind == "routing" else kind)
        assert words[words.index("-c") + 1] == str(calls)
        assert words[words.index("-n") + 1] == f"{kind}@%h"
        assert "-P" not in words


def test_the_command_becomes_celerys_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda program, words: ran.append([program, *words]))
    worker.main(["frontier", "-c", "12"], standalone_mode=False)
    assert ran == [
        [sys.executable, sys.executable, "-m", "celery", *celery_words("frontier", calls=12)]
    ]


def test_several_of_a_kind_have_names_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _, words: ran.append(words))
    worker.main(["gpu", "-n", "gpu1"], standalone_mode=False)
    assert ran[0][ran[0].index("-n") + 1] == "gpu1@%h"
    with pytest.raises(click.BadParameter, match="letters, digits"):
        worker.main(["gpu", "-n", "gpu 1@%h"], standalone_mode=False)
    assert len(ran) == 1


def test_what_anyone_would_type_gets_the_pool_and_the_size_of_its_tier(
    start: Start, environ: Mapping[str, str], tmp_path: Path
) -> None:
    process = start("celery", "-A", "tierqueue.workers.gpu", "worker", "-Q", "gpu")
    ledger = Ledger(environ["TIERQUEUE_LEDGER_URL"])

    def pools() -> list[Any]:
        assert process.poll() is None, (tmp_path / "said").read_text()
        with ledger.read() as connection:
            beating = progress.living(connection, now(connection))
            return [process.detail["pool"] for process in beating if "pool" in process.detail]

    try:
        until(lambda: pools() == [512])
    finally:
        ledger.close()
    title = " ".join(psutil.Process(process.pid).cmdline())
    assert "tierqueue.workers.gpu" in title
    for secret in (SECRET, environ["TIERQUEUE_BROKER_URL"], environ["TIERQUEUE_LEDGER_URL"]):
        assert secret not in title


@pytest.mark.parametrize(
    ("kind", "words", "why"),
    [
        ("gpu", ["-P", "threads", "-Q", "gpu"], "the pool celery.concurrency.thread.TaskPool"),
        ("frontier", ["-P", "solo", "-Q", "frontier"], "the pool celery.concurrency.solo"),
        ("open_weight", [], "it would read frontier, gpu, open_weight, route"),
        ("routing", ["-Q", "gpu"], "it would read gpu, and its queue is route"),
        ("routing", ["-P", "solo", "-Q", "route"], "the pool celery.concurrency.solo"),
    ],
)
def test_a_worker_with_another_pool_or_queue_refuses_and_says_what_to_type(
    forks: ForkServer,
    environ: Mapping[str, str],
    tmp_path: Path,
    kind: str,
    words: list[str],
    why: str,
) -> None:
    process = forks.start(
        ["celery", "-A", f"tierqueue.workers.{kind}", "worker", *words],
        environ=environ,
        output=tmp_path / "said",
        folder=tmp_path,
    )
    assert process.wait(60) == 2
    said = (tmp_path / "said").read_text()
    assert why in said
    assert f"start it with: tierqueue worker {kind}" in said
    assert "ready." not in said
    assert SECRET not in said
