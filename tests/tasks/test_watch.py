"""Flower with this house's health and figures, as a real process."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.house import free_port
from tests.tasks.producer import until
from tests.tasks.test_cli import POLICY
from tierqueue.ledger import progress
from tierqueue.ledger.session import Ledger

Ask = Callable[[str], tuple[int, str]]


@pytest.fixture
def ask(valkey: Any, sqlite_url: str, tmp_path: Path) -> Iterator[Ask]:
    """Asks a running Flower with a login of its own; the caller has none."""
    (tmp_path / "tierqueue.toml").write_text(POLICY)
    port = free_port()
    environ = {
        "PATH": os.environ["PATH"],
        "TIERQUEUE_BROKER_URL": valkey.url,
        "TIERQUEUE_LEDGER_URL": sqlite_url,
        "TIERQUEUE_POLICY": str(tmp_path / "tierqueue.toml"),
        "FLOWER_BASIC_AUTH": "ops:secret",
    }
    command = [str(Path(sys.executable).parent / "tierqueue"), "flower", "--port", str(port)]
    with (tmp_path / "flower.log").open("wb") as log:
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=subprocess.STDOUT)

        def get(path: str) -> tuple[int, str]:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as said:
                    return said.status, said.read().decode()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read().decode()

        def answers() -> bool:
            assert process.poll() is None, (tmp_path / "flower.log").read_text()
            try:
                return get("/healthcheck")[0] == 200
            except OSError:
                return False

        try:
            until(answers, 30)
            yield get
        finally:
            process.terminate()
            process.wait(10)


def test_healthz_and_metrics_tell_what_the_ledger_knows(ask: Ask, sqlite_url: str) -> None:
    status, said = ask("/healthz")
    assert (status, json.loads(said)["well"]) == (503, False)
    assert "no routing stage is alive" in said
    ledger = Ledger(sqlite_url)
    try:
        with ledger.write() as connection:
            progress.beat(connection, "routing@x:1", room="routing", tier=None, detail={})
    finally:
        ledger.close()
    until(lambda: ask("/healthz")[0] == 200, 15)
    _, figures = ask("/metrics")
    assert "tierqueue_well 1.0" in figures
    assert 'tierqueue_heartbeat_age_seconds{process="routing@x:1"}' in figures
    assert "flower_" in figures
    assert ask("/api/workers")[0] == 401
