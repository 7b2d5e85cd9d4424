"""What commands print: tables for people, JSON for scripts."""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """``--json``: the answer as JSON, for scripts."""
    return click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")(command)


def emit(value: Any) -> None:
    """One JSON value on one line."""
    click.echo(json.dumps(value, default=str, ensure_ascii=False))


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str = "") -> None:
    """Rows for people; a column whose name ends in ``>`` is set to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(title=title or None, title_justify="left")
    for column in columns:
        shown.add_column(
            column.removesuffix(">"), justify="right" if column[-1:] == ">" else "left"
        )
    for row in rows:
        # Text, so that brackets in what people wrote are not read as markup.
        shown.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    console = Console()
    if not console.is_terminal:
        # A pipe has no width of its own: nothing is to be cut off there.
        console = Console(width=1000)
    console.print(shown)


def moment(microseconds: int | None) -> str:
    """An epoch time as people read it, in UTC."""
    if microseconds is None:
        return ""
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
