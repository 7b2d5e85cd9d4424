"""Printing of commands: tables for people, plain lines for pipes, JSON for scripts.

Everything goes through here, so that no text from outside steers a terminal.
"""

import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import click

from tierqueue.operations.cli.output.escapes import json_line, visible
from tierqueue.router.money import NanoUSD, format_usd
from tierqueue.router.policy.duration import SECOND_US

F = TypeVar("F", bound=Callable[..., Any])

_GAP = 2
"""Blanks between two columns."""

_WHOLE = "a pipe (| cat) gets all"
"""How to see the columns for which there is no space."""

_LEAST, _MOST = 24, 120
"""Characters of a long text: with space for fewer it is left out, of more the rest is cut off."""


_LONGEST = 4_000
"""Most characters of a line on stderr: what was typed is said again, however long it is."""


def json_option(command: F) -> F:
    """``--json``: the answer as JSON, for scripts."""
    return click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")(command)


def record(
    row: Mapping[Any, Any], *, money: Sequence[str] = (), times: Sequence[str] = ()
) -> dict[str, Any]:
    """A row for scripts: ``money`` becomes ``…_nanousd``, ``times`` become ``…_epoch_us``."""
    told: dict[str, Any] = {}
    for name, value in row.items():
        if name in money:
            told[f"{name}_nanousd"] = value
        elif name in times:
            told[f"{name}_epoch_us"] = value
        else:
            told[name] = value
    return told


def identified(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row for scripts with its ids under the words of every command: ``item`` and ``job``.

    The columns' own names stay beside them.
    """
    words = {"item": row.get("item_id", row.get("id")), "job": row.get("job_id")}
    return {**{word: value for word, value in words.items() if value is not None}, **row}


def emit(value: Any) -> None:
    """One JSON value on one line."""
    click.echo(json_line(value))


def echo(*lines: str, err: bool = False) -> None:
    """Each line as it stands, on stdout or stderr; of a very long one on stderr both its ends."""
    for line in lines:
        shown = visible(line)
        if err and len(shown) > _LONGEST:
            half = _LONGEST // 2
            shown = f"{shown[:half]} … {shown[-half:]}"
        click.echo(shown, err=err)


def paragraph(lead: str, text: str) -> None:
    """A sentence behind ``lead``: wrapped under itself on a terminal, one line in a pipe."""
    line = lead + visible(text)
    if on_terminal():
        indent = " " * len(lead)
        line = textwrap.fill(
            line, width(), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        )
    click.echo(line.rstrip())


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table for people.

    ``rank``: 0 is always shown; others as far as there is space, the lowest first.
    ``long``: a text, which may be wrapped; all else (ids, money, names) stands whole or not at all.
    """

    name: str
    right: bool = False
    rank: int = 0
    long: bool = False


def table(
    columns: Sequence[Column | str], rows: Iterable[Sequence[Any]], *, empty: str = "none"
) -> None:
    """Rows for whom stdout reaches.

    A terminal gets the columns that fit it, and says which are left out; where not even those of
    rank 0 fit, each row becomes lines of its own; without rows it gets ``empty``. A pipe gets
    every column of every row, separated by tabs, with a line of names above. A column given as a
    text has rank 0; one that ends in ``>`` is set to the right.
    """
    stated = [_column(shown) for shown in columns]
    cells = [["" if cell is None else visible(str(cell)) for cell in row] for row in rows]
    if not on_terminal():
        for line in ([column.name for column in stated], *cells):
            click.echo("\t".join(line))
    elif not cells:
        click.echo(empty)
    else:
        _draw(stated, cells, width())


def on_terminal() -> bool:
    """Whether a person reads stdout as it is written."""
    return sys.stdout.isatty()


def width() -> int:
    """Characters in a line of the terminal; ``COLUMNS`` says otherwise."""
    return max(20, shutil.get_terminal_size().columns)


def dollars(nano: float) -> str:
    """An estimate to three figures: more would say that it is known."""
    whole = round(nano)
    return format_usd(NanoUSD(round(whole, 3 - len(str(whole))))) if whole > 0 else "$0.00"


def moment(microseconds: int | None) -> str:
    """An epoch time as a clock on this machine's wall shows it, with its distance to UTC."""
    if microseconds is None:
        return ""
    local = datetime.fromtimestamp(microseconds / SECOND_US).astimezone()
    return local.isoformat(" ", "seconds").replace("+00:00", "Z")


def clock(microseconds: int) -> tuple[str, str]:
    """An epoch time on this machine's clock: its date with the zone, and its time of day."""
    local = datetime.fromtimestamp(microseconds / SECOND_US).astimezone()
    zone = "UTC" if local.tzname() == "UTC" else f"{local.tzname()}, UTC{local.isoformat()[-6:]}"
    return f"{local.date().isoformat()} ({zone})", local.time().isoformat("milliseconds")


def _column(stated: Column | str) -> Column:
    if isinstance(stated, Column):
        return stated
    return Column(stated.removesuffix(">"), right=stated.endswith(">"))


def _draw(columns: list[Column], whole: list[list[str]], space: int) -> None:
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    cells = [
        [_cut(cell) if column.long else cell for column, cell in zip(columns, row, strict=True)]
        for row in whole
    ]
    widest = [
        max(cell_len(text) for text in (column.name, *(row[place] for row in cells)))
        for place, column in enumerate(columns)
    ]
    shown: list[int] = []
    missing: list[str] = []
    for place in sorted(range(len(columns)), key=lambda place: columns[place].rank):
        column = columns[place]
        if column.rank and not any(row[place] for row in cells):
            continue  # a column without a word in it says nothing
        if _needed(columns, widest, [*shown, place]) <= space:
            shown = sorted([*shown, place])
        elif column.rank:
            missing.append(column.name)
        else:
            _draw_records(columns, whole)
            return
    drawn = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
    for place in shown:
        column = columns[place]
        drawn.add_column(
            Text(column.name),
            justify="right" if column.right else "left",
            no_wrap=not column.long,
            overflow="fold",
            min_width=None if column.long else widest[place],
        )
    for row in cells:
        drawn.add_row(*(Text(row[place]) for place in shown))
    Console(file=sys.stdout, width=space, force_terminal=not _plain()).print(drawn)
    if missing:
        paragraph("", f"not shown, the terminal is too narrow: {', '.join(missing)}; {_WHOLE}")


def _cut(text: str) -> str:
    return text if len(text) <= _MOST else f"{text[: _MOST - 1]}…"


def _needed(columns: list[Column], widest: list[int], shown: list[int]) -> int:
    least = (min(widest[p], _LEAST) if columns[p].long else widest[p] for p in shown)
    return sum(least) + _GAP * (len(shown) - 1)


def _draw_records(columns: list[Column], cells: list[list[str]]) -> None:
    """Rows that no line can hold: a value a line, which the terminal may wrap but nothing cuts."""
    for number, row in enumerate(cells):
        if number:
            click.echo("")
        for column, cell in zip(columns, row, strict=True):
            if cell:
                click.echo(f"{column.name or '-'}: {cell}")


def _plain() -> bool:
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
