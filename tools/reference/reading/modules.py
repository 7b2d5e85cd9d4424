"""The map of the packages: every module with its docstring's first sentence, from the file tree."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tools.reference import markdown

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("workers", "operations", "tasks", "ledger", "router", "migrations")
"""The folders that are installed, downward."""

_INTRODUCTION = """
Each folder is a package for one trade, and each module says in its first line what it is. Its
import name is its path under `tierqueue`: `router/choose.py` is `tierqueue.router.choose`.
"""


def modules() -> Iterator[Path]:
    """Every module of the packages, from the top of the checkout."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "versions" not in path.parts:
                yield path.relative_to(ROOT)


@cache
def first_line(path: Path) -> str:
    """The first sentence of a module's docstring, or the empty string."""
    source = (ROOT / path).read_text(encoding="utf-8")
    # Of a source that begins with its docstring no more is parsed.
    docstring = re.match(r'""".*?"""', source, re.DOTALL)
    text = ast.get_docstring(ast.parse(docstring[0] if docstring else source)) or ""
    return re.split(r"(?<=[.?!])\s+(?=[A-Z])", markdown.sentence(text))[0]


def page() -> str:
    """The whole page."""
    folders: dict[Path, list[Path]] = {}
    for path in modules():
        folders.setdefault(path.parent, []).append(path)
    parts = [_INTRODUCTION]
    for folder, paths in sorted(folders.items(), key=_downward):
        parts += [f"## {folder.as_posix()}/", first_line(folder / "__init__.py")]
        inside = [path for path in paths if path.name != "__init__.py"]
        rows = [(f"`{path.name}`", first_line(path)) for path in inside]
        parts += [markdown.table(("module", "what it is"), rows)] if rows else []
    return markdown.page("The packages and their modules", *parts)


def _downward(folder: tuple[Path, list[Path]]) -> tuple[int, Path]:
    return PACKAGES.index(folder[0].parts[0]), folder[0]
