"""The packages have one import path. A bare name loads a module twice: two apps, tables twice."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGES = frozenset({"router", "ledger", "tasks", "workers", "operations", "migrations"})
DOTTED = re.compile(r"(router|ledger|tasks|workers|operations|migrations)((?:\.\w+)+)(?::\w+)?")
SUSPECT = re.compile(
    r"(?:\b(?:import|from)[\s\\]|[\"'])(?:[^\n\"'()]*,[\s\\]*)?"
    r"(?:router|ledger|tasks|workers|operations|migrations)\b"
)
"""What every such import looks like, and much else: to parse a source takes a thousand times."""


def bare_names(source: str, root: Path) -> Iterator[tuple[int, str]]:
    """Line and name of each import of a package by its bare name, in statements and in strings.

    A string counts where it names a module that exists, as in ``celery -A`` or ``import_module``.
    """
    for node in ast.walk(ast.parse(source if SUSPECT.search(source) else "")):
        if isinstance(node, ast.Import):
            yield from (
                (node.lineno, alias.name)
                for alias in node.names
                if alias.name.split(".")[0] in PACKAGES
            )
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
            if node.module.split(".")[0] in PACKAGES:
                yield node.lineno, node.module
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found = DOTTED.fullmatch(node.value)
            if found and _is_module(root, node.value.split(":")[0].split(".")):
                yield node.lineno, node.value


def _is_module(root: Path, parts: list[str]) -> bool:
    """Whether the path, or the path without a last attribute, is a module of the checkout."""
    return any(
        (root / Path(*path)).with_suffix(".py").is_file() or (root / Path(*path)).is_dir()
        for path in (parts, parts[:-1])
        if len(path) > 1
    )


@pytest.mark.parametrize(
    "source",
    [
        "import tasks",
        "import router.money as money",
        "from ledger import models",
        "from workers.engines import vllm",
        "def late():\n    from tasks.settings import read_settings",
        "import_module('router.money')",
        "['celery', '-A', 'router.money:app']",
    ],
)
def test_a_bare_import_is_found(source: str, root: Path) -> None:
    assert list(bare_names(source, root))


@pytest.mark.parametrize(
    "source",
    [
        "from tierqueue.router import money",
        "import tierqueue.tasks",
        "from . import money",
        "column = 'tasks.no_such_module.field'",
        "import asyncio.tasks",
    ],
)
def test_what_is_no_bare_import_is_left_alone(source: str, root: Path) -> None:
    assert list(bare_names(source, root)) == []


def test_no_file_imports_a_package_by_its_bare_name(root: Path, code: dict[Path, str]) -> None:
    found = [
        f"{path}:{line}: {name}"
        for path, source in code.items()
        for line, name in bare_names(source, root)
        if path != Path(__file__).relative_to(root)
    ]
    assert code
    assert found == []
