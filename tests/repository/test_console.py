"""Every command that a document or a command's help shows runs, on a small system, as it is shown.

The ledger is filled and its processes beat, but none runs: what a command prints is not compared,
its exit status is. A block whose commands end otherwise than with 0 says so in a comment above it,
``<!-- exits: 1 -->``.
"""

import os
import re
import shlex
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from tests.fork_server import ForkServer
from tests.ledger.placed import place
from tests.repository.documents import Block, blocks
from tierqueue.ledger import tables
from tierqueue.ledger.in_force import pauses, policy_versions, stated_limits, tier_concurrency
from tierqueue.ledger.monitoring import progress
from tierqueue.ledger.operations import raw_messages
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.migrations import upgrade
from tierqueue.router.item import Tier
from tierqueue.router.policy.policy import parse_policy
from tools.reference import commands

SHOWN_ID = "01a1fb7f-603c-71c9-9671-39b7af6c9a05"
"""The id that documents and help show."""

PARKED_ID = "01b30c2f-71d0-7aa1-8a10-2c5e4b9d6f11"
"""The id of the item that documents and help show in a review."""

UNTIL_STOPPED = ("worker", "flower", "top")
"""Commands that run until somebody ends them; tests/acceptance starts them."""

ENDS_WITH = {
    "tierqueue job watch": 1,
    "tierqueue job continue": 2,
    "tierqueue router train tierqueue.classify --out": 1,
    "tierqueue router calibrate": 1,
    "tierqueue router retire": 2,
    "tierqueue router promote": 2,
}
"""The job that is shown did not end well, no row of it is to come, too little was accepted to learn
from, nothing was judged, and the policy has no surrogate.
"""

FILES = {
    "tickets.csv": "text\nMy card is lost\nI was charged twice\n",
    "labelled.csv": "text,label\nMy card is lost,card\nI was charged twice,refund\n",
    "labels.txt": "card\nrefund\n",
    "usage.csv": "date,cost\n2026-11-20,0\n",
}


def shown_policy() -> str:
    """The README's policy, without a file that is not here."""
    (policy,) = (b.text for b in blocks("toml") if b.path == "README.md" and "[[floors]]" in b.text)
    return re.sub(r"^tokenizer = .*\n", "", policy, flags=re.MULTILINE)


def fill(ledger: Ledger, *, trouble: bool = False) -> None:
    """Items, a job, a ceiling and an unreadable message; ``trouble``: a death of a minute ago."""
    day = 86_400_000_000
    with ledger.write() as connection:
        now = database_now(connection)
        for tier in (None, "gpu", "open_weight", "frontier"):
            kind = "routing" if tier is None else "worker"
            name = f"{kind}@{socket.gethostname()}:1"
            progress.beat(connection, name, kind=kind, tier=tier, detail={})
        # They are alive for as long as the slowest block takes.
        connection.execute(
            tables.processes.update().values(started_at=now + day, seen_at=now + day)
        )
        for scope, name in (("everything", "*"), ("budget", "acme")):
            ceiling: dict[str, Any] = {
                "scope": scope,
                "name": name,
                "window": "day",
                "timezone": "UTC",
            }
            ceiling |= {"limit": 10**9, "set_by": "policy"}
            connection.execute(insert(tables.ceilings), ceiling)
        job: dict[str, Any] = {
            "id": SHOWN_ID,
            "task": "tierqueue.classify",
            "source": "tickets.csv",
        }
        job |= {"submitted_at": now - 3 * day, "complete": True, "total": 1}
        connection.execute(insert(tables.jobs), job)
        pauses.pause(connection, "budget", "acme", "ops")
        stated_limits.set_limits(connection, "best", {"requests_per_minute": 40}, "ops")
        tier_concurrency.set_concurrency(connection, Tier.FRONTIER, 4, "ops")
        night: dict[str, Any] = {"name": "night", "task": "tierqueue.complete", "cron": "0 2 * * *"}
        night |= {"call": {"prompt": "Are you there?"}, "timezone": "UTC", "missed": "once"}
        night |= {"next_due": now + day, "added_at": now, "added_by": "ops"}
        connection.execute(insert(tables.schedules), night)
        for text in ("# Before.\n" + shown_policy(), shown_policy()):
            policy = parse_policy(text, "test")
            policy_versions.apply(connection, policy, text, by="ops", reason=None)
        formed: dict[str, Any] = {"id": SHOWN_ID, "deployment": "best", "state": "over", "size": 1}
        formed |= {"tokens": 1, "held": 1, "lease_until": now, "ended_at": now, "counts": {}}
        formed |= dict.fromkeys(("deadline", "formed_at", "poll_at"), now)
        connection.execute(insert(tables.batches), formed)
        error = "is no message"
        kept = raw_messages.store(connection, queue="route", body=b"{", headers={}, error=error)
        connection.execute(
            tables.raw_messages.update()
            .where(tables.raw_messages.c.id == kept)
            .values(id=SHOWN_ID, received_at=now - 2 * day)
        )
    dead = {"reason": "no_route", "error": {"reason": "no_route", "message": "m", "fields": {}}}
    old = {"submitted_at": now - 3 * day, "ended_at": now - 2 * day, "metadata": {"customer": 4711}}
    place(ledger, "dead", id=SHOWN_ID, job_id=SHOWN_ID, job_index=0, **old, **dead)
    place(ledger, "succeeded", budget="acme", output={"text": "hello"}, receipt={})
    place(ledger, "review", id=PARKED_ID, reason="low_confidence", fence=1)
    with ledger.write() as connection:
        parked = {"item_id": PARKED_ID, "task": "tierqueue.complete", "reason": "low_confidence"}
        due = {"parked_at": now, "due": now + 3 * day}
        connection.execute(insert(tables.reviews), {**parked, **due})
        attempt = {"item_id": PARKED_ID, "fence": 1, "tier": "gpu", "deployment": "house"}
        attempt |= {"worker": "w", "metered": True, "balances": [], "held": 0, "started_at": now}
        attempt |= {"ended_at": now, "outcome": "rejected", "cost": 0}
        connection.execute(insert(tables.attempts), attempt)
        refused = {"item_id": PARKED_ID, "fence": 1, "answer": {"text": "hello"}}
        connection.execute(insert(tables.refused_answers), refused)
    if trouble:
        place(ledger, "dead", **{**dead, "reason": "exhausted"})


class System:
    """A folder in which commands run, as in a terminal that is set up."""

    def __init__(self, forks: ForkServer, folder: Path, ledger_url: str, broker_url: str) -> None:
        self._forks = forks
        self._folder = folder
        self._environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "ANTHROPIC_API_KEY": "no-key",
            "TIERQUEUE_LEDGER_URL": ledger_url,
            "TIERQUEUE_BROKER_URL": broker_url,
            "TIERQUEUE_POLICY": "tierqueue.toml",
        }

    def run(self, line: str) -> tuple[int, str]:
        """Its exit status, and what it printed. On a busy machine a block takes minutes: nothing
        that was submitted is older for that.
        """
        ledger = Ledger(self._environ["TIERQUEUE_LEDGER_URL"])
        with ledger.write() as connection:
            now = database_now(connection)
            fresh = tables.items.update().where(tables.items.c.state == "submitted")
            connection.execute(fresh.values(submitted_at=now, ready_at=now))
        ledger.close()
        printed = self._folder / "printed"
        printed.unlink(missing_ok=True)
        running = self._forks.start(
            shlex.split(command_of(line)),
            environ=self._environ,
            output=printed,
            folder=self._folder,
        )
        return running.wait(120), printed.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with nothing in it."""
    path = tmp_path_factory.mktemp("migrated") / "ledger.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def system(
    tmp_path: Path, migrated: Path, valkey: Any, forks: ForkServer, request: pytest.FixtureRequest
) -> System:
    """A filled system of its own; a block that exits with 1 shows one in trouble."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "tierqueue.toml").write_text(shown_policy(), encoding="utf-8")
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    shutil.copy(migrated, tmp_path / "ledger.db")
    ledger = Ledger(url)
    try:
        block = request.node.callspec.params.get("block")
        fill(ledger, trouble=block is not None and block.mark == "exits")
    finally:
        ledger.close()
    return System(forks, tmp_path, url, valkey.url)


def command_of(line: str) -> str:
    """The command alone: without settings in front, what follows it, and waiting for its end."""
    alone = line[line.index("tierqueue ") :].partition(" || ")[0]
    return alone.removesuffix(" --watch")


def ends_by_itself(line: str) -> bool:
    return "tierqueue " in line and command_of(line).split()[1] not in UNTIL_STOPPED


SHOWN = [
    block
    for block in blocks("console")
    if block.mark != "not run" and any(ends_by_itself(line) for line in block.commands)
]
EXAMPLES = [
    example
    for _, command in commands.commands()
    if ends_by_itself(example := (command.epilog or "").removeprefix("Example: "))
]


@pytest.mark.processes
@pytest.mark.parametrize("block", SHOWN, ids=lambda block: f"{block.path}:{block.line}")
def test_what_a_document_shows_ends_as_it_is_shown(block: Block, system: System) -> None:
    expected = int(block.said) if block.mark == "exits" else 0
    for line in block.commands:
        if ends_by_itself(line):
            status, printed = system.run(line)
            assert status == expected, f"{line}\n{printed}"
            assert "Traceback" not in printed


@pytest.mark.processes
@pytest.mark.parametrize("example", EXAMPLES)
def test_the_example_of_a_command_can_be_run(example: str, system: System) -> None:
    status, printed = system.run(example)
    assert status == ENDS_WITH.get(command_of(example).rpartition(" ")[0], 0), printed
    assert "Traceback" not in printed
