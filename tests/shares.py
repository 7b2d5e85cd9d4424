"""Shares of the files of tests: a process of `make quick` imports and collects its own alone.

A good part of what the quick tests take would otherwise be to collect everything in every process.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol
from xdist.scheduler import EachScheduling

_TESTS = Path(__file__).parent

TOGETHER = (
    # The providers' libraries, which take seconds to import.
    (
        "bench/stage",
        "ledger/test_token_regressions.py",
        "router/test_golden_usage.py",
        "sandbox",
        "tasks/answers",
        "workers/batch_lane",
        "workers/engines",
        "workers/test_egress.py",
    ),
    # So does scikit-learn.
    (
        "operations/cli/evaluation/test_calibrate.py",
        "operations/cli/evaluation/test_cli_predictor.py",
        "operations/cli/evaluation/test_cli_router.py",
        "router/learned",
        "tasks/routing/test_predictors.py",
        "tasks/routing/test_surrogates.py",
    ),
)
"""Files and folders whose tests import alike, and take long to: a group is one process's."""


class Shared(EachScheduling):  # type: ignore[misc]  # xdist says nothing of its types
    """Whoever collected a test runs it."""

    def schedule(self) -> None:
        # Of the whole run, for its percentages; xdist states that of the last process.
        session = self.config.pluginmanager.get_plugin("session")
        session.testscollected = sum(map(len, self.node2collection.values()))
        super().schedule()


class Share:
    """The files of one process, of those asked for."""

    def __init__(self, config: pytest.Config, number: int, processes: int) -> None:
        files = set(_files(config))
        self._of_others = files - _dealt(sorted(files), processes)[number]

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        return True if collection_path in self._of_others else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        # As pytest's own, but of what passed nothing is told of its setup and its teardown.
        hook, of = item.ihook, {"nodeid": item.nodeid, "location": item.location}
        hook.pytest_runtest_logstart(**of)
        for report in runtestprotocol(item, log=False, nextitem=nextitem):
            if report.when == "call" or not report.passed:
                hook.pytest_runtest_logreport(report=report)
        hook.pytest_runtest_logfinish(**of)
        return True

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        # A file that is named is collected whatever is to be ignored.
        items[:] = [item for item in items if item.path not in self._of_others]


def _files(config: pytest.Config) -> Iterator[Path]:
    for argument in config.args:
        path = config.invocation_params.dir / argument.partition("::")[0]
        yield from path.rglob("test_*.py") if path.is_dir() else [path]


def _dealt(files: list[Path], processes: int) -> list[set[Path]]:
    """The files of every process; neighbours, which take about as long, go to different ones."""
    shares: list[set[Path]] = [set() for _ in range(processes)]
    single = 0
    for file in files:
        group = _group(file)
        if group is None:
            single += 1
        shares[(single if group is None else group) % processes].add(file)
    return shares


def _group(file: Path) -> int | None:
    """Which of those that stay together it is of."""
    for group, names in enumerate(TOGETHER):
        if any(file.is_relative_to(_TESTS / name) for name in names):
            return group
    return None
