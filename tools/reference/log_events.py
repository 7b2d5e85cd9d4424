"""The page of every log event: its level, fields and module from the calls, its meaning beside."""

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tools.reference import markdown
from tools.reference.reading.modules import ROOT, modules

_MEANINGS = Path(__file__).with_name("log_events.toml")
_LOGGERS = ("log", "_log")
_LEVELS = ("debug", "info", "warning", "error", "exception", "critical")

_INTRODUCTION = """
Every process logs one JSON object a line on standard error: `event`, `level`, `logger` (the
module's import name), `timestamp` (UTC), and the event's own fields. Fields are ids, codes and
numbers; no prompt, no answer and no key is ever among them. `error` is the type of an exception,
without its text; an event of level `exception` has where it was raised in `exception`, and logs as
`error`.
"""


@dataclass(frozen=True, slots=True)
class Event:
    """One call that logs; ``fields`` are its names, in the call's order."""

    name: str
    level: str
    module: str
    fields: tuple[str, ...]


def meanings() -> dict[str, str]:
    """What each event means, and what to do, in a line."""
    return tomllib.loads(_MEANINGS.read_text(encoding="utf-8"))


@cache
def events() -> tuple[Event, ...]:
    """Every call that logs, module by module; raises ``ValueError`` for one without a name."""
    return tuple(_events())


def _events() -> Iterator[Event]:
    for path in modules():
        text = (ROOT / path).read_text(encoding="utf-8")
        tree = ast.parse(text if "log." in text else "")
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from _logged(function, tree, path)


def page() -> str:
    """The whole page."""
    found: dict[str, list[Event]] = {}
    for event in events():
        found.setdefault(event.name, []).append(event)
    texts = meanings()
    rows = [
        (
            f"`{name}`",
            ", ".join(dict.fromkeys(call.level for call in calls)),
            ", ".join(dict.fromkeys(f"`{field}`" for call in calls for field in call.fields)),
            texts.get(name, ""),
            ", ".join(dict.fromkeys(f"`{call.module}`" for call in calls)),
        )
        for name, calls in sorted(found.items())
    ]
    head = ("event", "level", "fields", "what it means", "module")
    return markdown.page("Log events", _INTRODUCTION, markdown.table(head, rows))


def _logged(
    function: ast.FunctionDef | ast.AsyncFunctionDef, tree: ast.Module, path: Path
) -> Iterator[Event]:
    for call in _own_calls(function):
        match call:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=logger), attr=level)) if (
                logger in _LOGGERS and level in _LEVELS
            ):
                if not call.args or not isinstance(call.args[0], ast.Constant):
                    raise ValueError(f"{path}:{call.lineno}: an event is named by a string")
                fields = [name for word in call.keywords for name in _names(word, function, tree)]
                yield Event(str(call.args[0].value), level, path.as_posix(), tuple(fields))


def _own_calls(function: ast.AST) -> Iterator[ast.Call]:
    """The calls in a function, without those of functions inside it."""
    for node in ast.iter_child_nodes(function):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.Call):
            yield node
        yield from _own_calls(node)


def _names(word: ast.keyword, function: ast.AST, tree: ast.Module) -> list[str]:
    """The fields that a keyword passes: itself, or for ``**`` the keys of the dict it unpacks."""
    if word.arg is not None:
        return [] if word.arg == "exc_info" else [word.arg]
    return _keys(word.value, function, tree)


def _keys(value: ast.AST | None, function: ast.AST, tree: ast.Module) -> list[str]:
    match value:
        case ast.Dict(keys=keys):
            return [str(key.value) for key in keys if isinstance(key, ast.Constant)]
        case ast.DictComp(generators=[ast.comprehension(iter=ast.Tuple(elts=names))]):
            return [str(name.value) for name in names if isinstance(name, ast.Constant)]
        case ast.Name(id=name):
            for node in ast.walk(function):
                match node:
                    case (
                        ast.Assign(targets=[ast.Name(id=assigned)], value=held)
                        | ast.AnnAssign(target=ast.Name(id=assigned), value=held)
                    ) if assigned == name:
                        return _keys(held, function, tree)
        case ast.Call(func=ast.Name(id=called)):
            for node in tree.body:
                if isinstance(node, ast.FunctionDef) and node.name == called:
                    returned = [
                        part.value for part in ast.walk(node) if isinstance(part, ast.Return)
                    ]
                    return [key for part in returned for key in _keys(part, node, tree)]
    raise ValueError(f"line {getattr(value, 'lineno', '?')}: the fields of a log event are unknown")
