"""The router is told everything: it asks no clock, environment, file, database or network."""

import ast
from pathlib import Path

import pytest

import tierqueue.router

PACKAGE = Path(tierqueue.router.__path__[0])
MODULES = sorted(PACKAGE.rglob("*.py"))
ALLOWED = {
    "bisect",
    "collections",
    "dataclasses",
    "datetime",
    "decimal",
    "difflib",
    "ipaddress",
    "json",
    "enum",
    "fractions",
    "functools",
    "genai_prices",
    "hashlib",
    "math",
    "pydantic",
    "re",
    "tierqueue",
    "tomllib",
    "typing",
    "unicodedata",  # tables of what characters are: the same answer everywhere and always
    "urllib",
    "zoneinfo",
}
LEARNED = ALLOWED | {"json", "numpy", "safetensors", "scipy", "sklearn", "tokenizers"}
"""What router/learned may use beside: arithmetic on arrays, and the form of its artefacts."""

ASKING = {"now", "utcnow", "today", "open", "read_text", "urlopen", "getenv", "print", "input"}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_a_module_of_the_router_only_thinks(module: Path) -> None:
    allowed = LEARNED if module.parent.name == "learned" else ALLOWED
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            assert {name.name.split(".")[0] for name in node.names} <= allowed
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            assert node.module.split(".")[0] in allowed
            assert not node.module.startswith("tierqueue.") or "router" in node.module
            assert node.module not in {"urllib.request", "genai_prices.update_prices"}
        elif isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else None
            called = node.func.id if isinstance(node.func, ast.Name) else called
            assert called not in ASKING, f"{module.name}:{node.lineno}"


def test_the_package_was_found() -> None:
    assert {"choose", "errors", "policy"} <= {module.stem for module in MODULES}
