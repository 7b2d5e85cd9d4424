"""The whole system as real processes, and this process as its producer."""

import shlex
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.acceptance_system import POLICY, Build, RunningSystem
from tests.fork_server import ForkServer
from tierqueue.ledger.session import Ledger
from tierqueue.tasks.app import app
from tierqueue.tasks.installation import Installation
from tools.system import Running, System, start


@pytest.fixture(scope="module")
def build_system(
    forks: ForkServer, valkey_server: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Build]:
    """Starts houses on the session's broker, and makes this process their producer.

    Workers are forks of a process that has imported them.
    """
    started: list[tuple[System, Ledger]] = []
    patch = pytest.MonkeyPatch()

    def end() -> None:
        app.installation.close()
        for system, ledger in started:
            ledger.close()
            system.stop()
        started.clear()

    def build(
        ledger_url: str | None = None,
        more: str = "",
        policy_text: str = POLICY,
        forks: ForkServer = forks,
        **options: Any,
    ) -> RunningSystem:
        # One system at a time: two would take each other's messages.
        end()
        client = valkey_server.client()
        client.flushall()
        client.close()
        folder = tmp_path_factory.mktemp("system")
        policy = folder / "tierqueue.toml"
        # A lease that no busy machine makes a worker miss; who waits for its end states a shorter.
        environ = {"SANDBOX_KEY": "a-key", "TIERQUEUE_LEASE": "20", **options.pop("environ", {})}
        system = System(
            folder,
            policy=policy,
            ledger_url=ledger_url,
            broker_url=valkey_server.url,
            environ=environ,
            begin=partial(_begin, forks),
            **options,
        )
        text = policy_text.replace("{more}", more).replace("{port}", str(system.sandbox_port))
        policy.write_text(text, encoding="utf-8")
        started.append((system, ledger := Ledger(system.ledger_url)))
        system.start()
        for name in ("BROKER_URL", "LEDGER_URL", "POLICY"):
            patch.setenv(f"TIERQUEUE_{name}", system.environ[f"TIERQUEUE_{name}"])
        # On a machine that is busy with other tests this process may stand still.
        patch.setattr(app, "installation", Installation(app, idle_writes_seconds=20.0))
        app.conf.update(broker_url=system.broker_url)
        return RunningSystem(system, ledger)

    yield build
    end()
    patch.undo()


def _begin(forks: ForkServer, line: str, environ: Mapping[str, str], log: Path) -> Running:
    if not line.startswith("tierqueue worker "):
        return start(line, environ, log)
    return forks.start(shlex.split(line), environ=environ, output=log)


@pytest.fixture(scope="module")
def log_of() -> Callable[[RunningSystem, str], str]:
    """What a process of the system has logged."""
    return lambda running, name: Path(running.system.folder / f"{name}.log").read_text(
        encoding="utf-8"
    )
