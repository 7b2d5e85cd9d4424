"""Options that several commands share: a task type, its arguments, and demands."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tierqueue.operations.cli.input.names import one_of
from tierqueue.router.errors import InvalidItem, Misconfigured
from tierqueue.router.item import TIERS, Latency, Risk, Sensitivity
from tierqueue.router.policy.policy_errors import nearest, there_is_no

if TYPE_CHECKING:
    from tierqueue.tasks.files.source import Reading
    from tierqueue.tasks.jobs.export.into_table import IntoTable
    from tierqueue.tasks.submission.item_task import ItemTask
    from tierqueue.tasks.submission.pieces import OnFailure, Pieces, Split

F = TypeVar("F", bound=Callable[..., Any])

Options = tuple[tuple[str, dict[str, Any]], ...]
"""Their names, and how click is told of each."""

_DEMANDS: Options = (
    (
        "--risk",
        {"type": one_of([risk.value for risk in Risk]), "help": "Who is hurt by a wrong answer."},
    ),
    (
        "--sensitivity",
        {
            "type": one_of([level.value for level in Sensitivity]),
            "help": "Who may see the payload.",
        },
    ),
    (
        "--latency",
        {"type": one_of([latency.value for latency in Latency]), "help": "Whether somebody waits."},
    ),
    ("--deadline", {"help": "Such as 5m or 24h, or a date and time."}),
    (
        "--floor",
        {"type": one_of([tier.value for tier in TIERS]), "help": "The lowest tier that may do it."},
    ),
    ("--budget", {"help": "Whose money it is: a team, a tenant, a project."}),
    ("--priority", {"type": click.IntRange(0, 9), "help": "9 is the most urgent."}),
)

_READING: Options = (
    ("--encoding", {"help": "Of FILE, such as cp1252; else found out, and said."}),
    ("--sheet", {"help": "Of a spreadsheet; else its first."}),
    (
        "--by",
        {
            "type": one_of(["document", "page", "chunk"]),
            "help": "What of documents is a row; else a document.",
        },
    ),
    ("--query", {"help": "Of a database: the rows that are asked, or @FILE with it."}),
    ("--separator", {"help": "Of a CSV: one character, or tab; else found out, and said."}),
)


LEAST_CHARACTERS = 801
"""As ``Pieces`` has it, which ``--help`` does not load."""

_PIECES: Options = (
    (
        "--split",
        {
            "type": one_of(["cheaper", "always"]),
            "help": "Long rows in pieces: where that costs less, or always.",
        },
    ),
    (
        "--on-failure",
        {
            "type": one_of(["fail", "partial"]),
            "help": "Of a piece: no answer (fail), or one without it.",
        },
    ),
    (
        "--characters",
        {"type": click.IntRange(LEAST_CHARACTERS), "help": "Of a piece, 8000 unless stated."},
    ),
)


def demand_options(command: F) -> F:
    """The demands any item may carry, as options; those stated arrive as ``demands``."""
    return _together("demands", _DEMANDS, given, command)


def reading_options(command: F) -> F:
    """How a file is read where its bytes do not say it; it arrives as ``reading``."""
    return _together("reading", _READING, _reading, command)


def pieces_options(command: F) -> F:
    """How long documents are done; it arrives as ``pieces``."""
    return _together("pieces", _PIECES, _pieces, command)


def _together(name: str, options: Options, gather: Callable[..., Any], command: F) -> F:
    """Add ``options``; the command takes what ``gather`` makes of all their values, as ``name``."""
    keys = [option.removeprefix("--").replace("-", "_") for option, _ in options]

    @wraps(command)
    def gathered(**values: Any) -> Any:
        own = {key: values.pop(key) for key in keys}
        return command(**values, **{name: gather(**own)})

    for option, attributes in reversed(options):
        gathered = click.option(option, **attributes)(gathered)
    return gathered  # type: ignore[return-value]


def given(**options: Any) -> dict[str, Any]:
    """The options that were stated."""
    return {name: value for name, value in options.items() if value is not None}


def _reading(query: str | None, **stated: Any) -> Reading:
    from tierqueue.tasks.files.source import Reading

    return Reading(query=read_text(query), **stated)


def _pieces(
    split: Split | None, on_failure: OnFailure | None, characters: int | None
) -> Pieces | None:
    """What the options say of long documents; raises ``InvalidItem`` where --split is missing."""
    from tierqueue.tasks.submission.pieces import Pieces

    if split is None:
        for name, value in (("--on-failure", on_failure), ("--characters", characters)):
            if value is not None:
                raise InvalidItem(f"{name}: say --split cheaper or --split always too")
        return None
    usual = Pieces()
    return Pieces(characters or usual.characters, split, on_failure or usual.on_failure)


def task_named(name: str) -> ItemTask:
    """A task type by its name, a team's own too (``TIERQUEUE_IMPORTS``).

    Raises ``InvalidItem`` naming those there are, ``Misconfigured`` for a module that is not there.
    """
    known = task_types()
    if name not in known:
        raise InvalidItem(there_is_no("task type", name, known))
    return known[name]


def task_types() -> Mapping[str, ItemTask]:
    """Every task type by its name, a team's own too.

    Raises ``Misconfigured`` for a module that is not there.
    """
    from tierqueue.tasks.settings import PREFIX
    from tierqueue.tasks.submission.item_task import ItemTask

    importlib.import_module("tierqueue.tasks.kinds")
    modules = os.environ.get(f"{PREFIX}IMPORTS", "").replace(",", " ").split()
    if modules and (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # as Celery does for the workers, which find the same modules
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise Misconfigured(
                f"{PREFIX}IMPORTS names {module}: {error} (in this folder and on PYTHONPATH)"
            ) from None
    return ItemTask.declared


def read_arguments(task: ItemTask, texts: Sequence[str]) -> dict[str, Any]:
    """``name=value`` as arguments of ``task``; ``name=@file`` takes the value from a file.

    A list is separated by commas (in a file by lines, or JSON), a mapping is JSON; of an image the
    file is kept, which whoever makes the item reads. Raises ``InvalidItem`` for a name the task
    does not know and for a file that cannot be read.
    """
    from tierqueue.tasks.jobs.argument_text import value_of
    from tierqueue.tasks.submission.image import is_image

    arguments: dict[str, Any] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator:
            raise InvalidItem(f"{text!r} is not an argument: write it like name=value")
        field = task.arguments_model.model_fields.get(name)
        if field is None:
            takes = task.arguments_model.model_fields
            raise InvalidItem(
                f"{task.name} has no argument {name!r}: it takes {', '.join(takes)}"
                + nearest(name, takes)
            )
        from_file = value.startswith("@")
        if is_image(field):
            arguments[name] = _image(name, value)
            continue
        try:
            arguments[name] = value_of(
                field, _read(value[1:]) if from_file else value, lines=from_file
            )
        except InvalidItem as error:
            raise InvalidItem(f"{name}: {error.message}") from None
    return arguments


def _image(name: str, value: str) -> Path:
    """The file that ``@file`` names; raises ``InvalidItem`` for one that is not there."""
    file = Path(value[1:])
    if not value.startswith("@") or not file.name:
        raise InvalidItem(f"{name} is an image: name its file, {name}=@FILE")
    if not file.is_file():
        raise InvalidItem(f"{name}: the image {file} is not there, or no regular file")
    return file.resolve()


def read_text(text: str | None) -> str | None:
    """``@file`` as what the file says; raises ``InvalidItem`` where it cannot be read."""
    return _read(text[1:]) if text is not None and text.startswith("@") else text


def into_table(
    into: str | None, table: str | None, keys: Sequence[str], prefix: str
) -> IntoTable | None:
    """Where rows go back, as ``--into``, ``--table``, ``--key`` and ``--prefix`` say.

    Raises ``InvalidItem`` for half of what it takes.
    """
    from tierqueue.tasks.jobs.export.into_table import IntoTable

    if into is None:
        if table is not None:
            raise InvalidItem("--table is of a database: say --into env:NAME too")
        return None
    if table is None or len(keys) != 1:
        raise InvalidItem("--into takes --table TABLE and one --key COLUMN")
    return IntoTable(into, table, keys[0], prefix)


def stated_sink(
    into: str | None, table: str | None, key: str | None, prefix: str
) -> IntoTable | None:
    """Where a job's rows go back as they end, of one ``--key``; a variable that is not set here is
    said. Raises ``InvalidItem`` for half of what it takes.
    """
    from tierqueue.operations.cli.output.printing import echo

    if into is None and (key is not None or prefix):
        raise InvalidItem("--key and --prefix are of --into: say it too, or leave them out")
    sink = into_table(into, table, () if key is None else (key,), prefix)
    if sink is not None and not sink.here:
        echo(f"note: {sink.not_here}", err=True)
    return sink


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InvalidItem(f"{path} is not UTF-8 text") from None
    except OSError as error:
        raise InvalidItem(f"cannot read {path}: {error.strerror}") from None
