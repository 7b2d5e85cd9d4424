"""Sources as they are written, for what no object holds: docstrings of fields and names."""

import ast
import inspect
import textwrap
from itertools import pairwise
from pathlib import Path
from typing import Any


def described(body: list[ast.stmt]) -> dict[str, str]:
    """The docstring below each name that these statements assign."""
    found = {}
    for statement, following in pairwise(body):
        match statement, following:
            case (
                ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = inspect.cleandoc(text)
    return found


def fields(model: type[Any]) -> dict[str, str]:
    """The docstrings of a class's fields."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(model)))
    assert isinstance(tree.body[0], ast.ClassDef)
    return described(tree.body[0].body)


def names(module: Any) -> dict[str, str]:
    """The docstrings of a module's own names."""
    return described(ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8")).body)
