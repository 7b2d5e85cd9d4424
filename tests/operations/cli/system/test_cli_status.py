"""``tierqueue status`` and ``top``: one screen, in a pipe and in a real terminal."""

import json
import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from tests.ledger.moves import ceiling
from tests.ledger.placed import place
from tests.operations.cli.command import Command
from tests.waiting import until
from tierqueue.ledger.ceilings import books
from tierqueue.ledger.in_force import pauses
from tierqueue.ledger.monitoring import progress
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import balances, processes

POLICY = """
[tiers.gpu]
concurrency = 7
[deployments.house]
tier = "gpu"
engine = "vllm"
model = "m"
boundary = "house"
context_window = 1000
gpu_hour = "1"
"""

SECOND = 1_000_000


@pytest.fixture
def busy(ledger_url: str) -> Iterator[Ledger]:
    """A system in trouble, with a bit of everything."""
    ledger = Ledger(ledger_url)
    at = ledger.now()
    for _ in range(3):
        place(ledger, "routed", ready_at=at - 90 * SECOND)
    place(ledger, "submitted", tier=None, ready_at=at - SECOND)
    place(ledger, "waiting", reason="outage")
    place(ledger, "waiting", reason="ceiling", ceiling="budget:a\x1bcme:total:all", bound=5)
    place(ledger, "dead", reason="exhausted")
    place(ledger, "dead", reason="no_route", ended_at=at - 2 * 3600 * SECOND)
    with ledger.write() as connection:
        detail = {
            "counts": {"ended": 30},
            "last_minute": {"ended": 30},
            "moments": {},
            "breakers_open": ["house"],
        }
        progress.beat(connection, "gpu@x:1", kind="worker", tier="gpu", detail=detail)
        progress.beat(connection, "routing@x:1", kind="routing", tier=None, detail={})
        connection.execute(processes.update().values(started_at=at - 600 * SECOND))
        pauses.pause(connection, "tier", "frontier", "ada")
    row = {"scope": "budget", "name": "a\x1bcme", "window": "total", "start": "all", "peak": 97}
    with ledger.write() as connection:
        books.seed(connection, [ceiling("budget", 100, name="a\x1bcme")], at)
        connection.execute(
            insert(balances), {"id": "budget:a\x1bcme:total:all", **row, "spent": 90, "held": 7}
        )
    yield ledger
    ledger.close()


def test_the_screen_shows_where_work_stands_in_80_columns(busy: Ledger, tierqueue: Command) -> None:
    lines = tierqueue("status").splitlines()
    assert max(len(line) for line in lines) <= 80
    assert len(lines) <= 24
    text = "\n".join(lines)
    assert re.search(r"^routing +1 stage alive, 1 to route, the oldest for \d", text, re.MULTILINE)
    assert re.search(r"^gpu +3 +0 +2 +\d+ min \d+ s +30 +6 s +1 +7$", text, re.MULTILINE), text
    assert re.search(r"^frontier +0 .* paused +0 +\d+$", text, re.MULTILINE), text
    assert re.search(r"^house +gpu +0 +2  STOPPED by 1 worker$", text, re.MULTILINE)
    assert "1  outage (house)" in text
    assert "97%  budget:a\\x1bcme total" in text
    assert "1  tierqueue dead-letters list --reason exhausted" in text
    assert "no_route" not in text
    assert "tier frontier by ada" in text


def test_scripts_get_the_same_with_units(busy: Ledger, tierqueue: Command) -> None:
    told = tierqueue.json("status")
    [gpu] = [tier for tier in told["tiers"] if tier["tier"] == "gpu"]
    assert (gpu["ready_items"], gpu["waiting_items"], gpu["concurrency_calls"]) == (3, 2, 7)
    assert gpu["ended_per_second"] == 0.5
    assert gpu["empty_seconds"] == 6
    assert gpu["oldest_seconds"] >= 90
    assert told["dead_letters_last_hour"] == {"exhausted": 1}
    assert [ceiling["ceiling"] for ceiling in told["ceilings_near"]] == ["budget:a\x1bcme total"]


def test_a_tier_that_somebody_stopped_is_shown_as_stopped(tierqueue: Command) -> None:
    tierqueue("concurrency", "set", "gpu", "0")
    assert re.search(r"^gpu +0 +0 +0 +- +- +stopped +0 +0$", tierqueue("status"), re.MULTILINE)
    found = {tier["tier"]: tier["stopped"] for tier in tierqueue.json("status")["tiers"]}
    assert found == {"gpu": True, "open_weight": False, "frontier": False}


def test_a_model_that_is_loading_is_shown_until_some_worker_serves(
    ledger_url: str, tierqueue: Command
) -> None:
    ledger = Ledger(ledger_url)
    loads = {"loading": "house", "moments": {"loading": ledger.now() - 90 * SECOND}}
    with ledger.write() as connection:
        progress.beat(connection, "gpu@x:1", kind="worker", tier="gpu", detail=loads)
    assert re.search(r"house .* loading 1 min", tierqueue("status"))
    (told,) = json.loads(tierqueue("status", "--json"))["deployments"]
    assert told["loading_seconds"] > 89
    with ledger.write() as connection:
        progress.beat(connection, "gpu@x:2", kind="worker", tier="gpu", detail={})
    (told,) = json.loads(tierqueue("status", "--json"))["deployments"]
    assert told["loading_seconds"] is None
    ledger.close()


def test_a_system_without_work_is_shown_too(tierqueue: Command) -> None:
    text = tierqueue("status")
    assert "NO STAGE ALIVE, nothing to route" in text
    assert "died" not in text


def test_without_a_terminal_top_is_shown_once(tierqueue: Command) -> None:
    ended, out, err = tierqueue.run("top")
    assert (ended, out.startswith("tierqueue  ")) == (0, True)
    assert "shown once" in err


_AS_ITS_OWN = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
# Tests that a shell has put into the background begin with this signal ignored.
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""The terminal controls the command, so that Ctrl-C is a signal."""


class Terminal:
    """The command in a real terminal of 80 columns and 24 lines."""

    def __init__(self, words: list[str], environ: dict[str, str]) -> None:
        self.ours, theirs = pty.openpty()
        subprocess.run(["stty", "rows", "24", "cols", "80"], stdin=theirs, check=True)
        self.before = subprocess.run(["stty", "-g"], stdin=theirs, capture_output=True, check=True)
        command = [str(Path(sys.executable).parent / "tierqueue"), *words]
        self.process = subprocess.Popen(
            [sys.executable, "-c", _AS_ITS_OWN, *command],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environ,
            start_new_session=True,
        )
        self.theirs = theirs
        self.shown = ""

    def until(self, words: str) -> None:
        """Read what is drawn until it shows ``words``."""

        def read() -> bool:
            if select.select([self.ours], [], [], 0.2)[0]:
                self.shown += os.read(self.ours, 65_536).decode()
            else:
                assert self.process.poll() is None, self.shown
            return words in self.shown

        until(lambda: words in self.shown or read())

    def press(self, keys: bytes) -> int:
        """Press keys; the exit status. What is drawn meanwhile is read: a terminal drains."""
        os.write(self.ours, keys)

        def ended() -> bool:
            if select.select([self.ours], [], [], 0.05)[0]:
                self.shown += os.read(self.ours, 65_536).decode()
            return self.process.poll() is not None

        until(ended)
        return self.process.wait()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)


@pytest.fixture
def terminal(sqlite_url: str, tmp_path: Path) -> Iterator[Any]:
    (tmp_path / "tierqueue.toml").write_text(POLICY)
    environ = {
        "PATH": os.environ["PATH"],
        "TERM": "xterm",
        "TIERQUEUE_LEDGER_URL": sqlite_url,
        "TIERQUEUE_BROKER_URL": "redis://127.0.0.1:1/0",
        "TIERQUEUE_POLICY": str(tmp_path / "tierqueue.toml"),
    }
    opened: list[Terminal] = []

    def start(*words: str) -> Terminal:
        opened.append(Terminal(list(words), environ))
        return opened[-1]

    yield start
    for condition in opened:
        condition.close()


@pytest.mark.processes
@pytest.mark.parametrize("key", [b"q", b"\x03"], ids=["q", "ctrl-c"])
def test_top_is_drawn_again_and_ends_on_a_key_with_the_terminal_as_it_was(
    terminal: Any, sqlite_url: str, key: bytes
) -> None:
    shown = terminal("top", "--interval", "0.25")
    shown.until("q quits")
    shown.until("NO STAGE ALIVE")
    ledger = Ledger(sqlite_url)
    with ledger.write() as connection:
        progress.beat(connection, "routing@x:1", kind="routing", tier=None, detail={})
    ledger.close()
    shown.until("1 stage alive")
    assert shown.press(key) == 0
    after = subprocess.run(["stty", "-g"], stdin=shown.theirs, capture_output=True, check=True)
    assert after.stdout == shown.before.stdout
