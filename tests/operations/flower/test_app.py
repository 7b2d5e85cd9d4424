"""Flower with this system's health and figures, as a real process."""

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.ledger.placed import place
from tests.operations.cli.test_cli import POLICY
from tests.waiting import until
from tierqueue.ledger.monitoring import progress
from tierqueue.ledger.session import Ledger
from tierqueue.workers.engines.engine_load import EngineLoad
from tools.reference import metrics
from tools.system import free_port


class Ask(Protocol):
    """Asks for a path, with the login or without; the status and the page."""

    def __call__(self, path: str, login: bool = False) -> tuple[int, str]: ...


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

        def get(path: str, login: bool = False) -> tuple[int, str]:
            asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
            if login:
                asked.add_header("Authorization", f"Basic {b64encode(b'ops:secret').decode()}")
            try:
                with urllib.request.urlopen(asked, timeout=60) as said:
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
            until(answers)
            yield get
        finally:
            process.terminate()
            process.wait(60)


def test_healthz_and_metrics_tell_what_the_ledger_knows(ask: Ask, sqlite_url: str) -> None:
    status, said = ask("/healthz")
    assert (status, json.loads(said)["well"]) == (503, False)
    assert "no routing stage is alive" in said
    ledger = Ledger(sqlite_url)

    def beats_and_is_seen() -> str:
        """Alive for as long as it takes to be seen."""
        with ledger.write() as connection:
            progress.beat(connection, "routing@x:1", kind="routing", tier=None, detail={})
            detail: dict[str, Any] = {
                "engines": {"own": EngineLoad(most=64).figures().heartbeat_detail()}
            }
            used, learned = {"requests_per_minute": 5}, {"tokens_per_minute": 900}
            told = {"ago": 1.0, "used": used, "learned": learned}
            detail["limits"] = {"own": told, "account:one": told, "budget:acme": told}
            progress.beat(connection, "gpu@x:2", kind="worker", tier="gpu", detail=detail)
        figures = ask("/metrics")[1]
        return figures if ask("/healthz")[0] == 200 and "tierqueue_well 1.0" in figures else ""

    try:
        figures = until(beats_and_is_seen)
    finally:
        ledger.close()
    assert 'tierqueue_heartbeat_age_seconds{process="routing@x:1"}' in figures
    engine = '{deployment="own",process="gpu@x:2"}'
    assert f"tierqueue_engine_worthwhile_calls{engine} 96.0" in figures
    for account, budget, deployment in (("", "", "own"), ("one", "", ""), ("", "acme", "")):
        whose = f'account="{account}",budget="{budget}",deployment="{deployment}"'
        used = f'{{{whose},limit="requests_per_minute"}}'
        assert f"tierqueue_limit_used{used} 5.0" in figures
    learned = '{account="",budget="",deployment="own",limit="tokens_per_minute"}'
    assert f"tierqueue_limit_learned{learned} 900.0" in figures
    assert "flower_" in figures
    exposed = set(re.findall(r"^# HELP (tierqueue_\w+) ", figures, re.MULTILINE))
    assert exposed == {gauge.name for gauge in metrics.metrics()}
    assert ask("/api/workers")[0] == 401


def test_the_page_of_an_item_tells_what_the_ledger_knows_also_of_a_job_s_row(
    ask: Ask, sqlite_url: str
) -> None:
    ledger = Ledger(sqlite_url)
    try:
        error = {"reason": "exhausted", "message": "all 4 calls failed", "fields": {}}
        row = {"reason": "exhausted", "error": error, "spent": 12_300_000, "tier": "frontier"}
        dead = place(ledger, "dead", job_id="job-7", job_index=0, **row)
        secret = {"reason": "rejected", "message": "the answer was Quillfeather", "fields": {}}
        refused = place(ledger, "dead", reason="rejected", error=secret)
    finally:
        ledger.close()
    assert ask(f"/task/{dead}")[0] == 401
    status, page = ask(f"/task/{dead}", login=True)
    assert status == 200
    for words in ("FAILURE", "all 4 calls failed", "frontier", "$0.0123", "job-7", "exhausted"):
        assert words in page, words
    assert "hello" not in page
    assert "Quillfeather" not in ask(f"/task/{refused}", login=True)[1]
    assert ask("/task/nobody", login=True)[0] == 404


def test_the_page_of_workers_begins_with_what_is_wrong(ask: Ask) -> None:
    assert ask("/workers")[0] == 401
    for path in ("/", "/workers"):
        status, page = ask(path, login=True)
        assert status == 200
        assert page.index("no routing stage is alive") < page.index("Online workers")
    assert "data" in json.loads(ask("/workers?json=1", login=True)[1])
