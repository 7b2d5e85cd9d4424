"""The page of the ledger's tables, from the tables' definitions."""

import tomllib
from pathlib import Path

from sqlalchemy import BigInteger, Column, Double, Integer, LargeBinary, Table
from sqlalchemy.types import JSON, Boolean

from tierqueue.ledger import tables
from tierqueue.ledger.tables import (
    batch_table,
    evidence_table,
    item_tables,
    job_tables,
    money_tables,
    operator_tables,
    payload_tables,
)
from tools.reference import markdown
from tools.reference.reading import sources

_MODULES = (
    batch_table,
    evidence_table,
    item_tables,
    job_tables,
    money_tables,
    operator_tables,
    payload_tables,
)

_COLUMNS = Path(__file__).with_name("tables.toml")

_INTRODUCTION = """
Money is integer nano-dollars (10⁻⁹ dollars), a time is integer microseconds since the epoch on the
database's own clock, SQLite and PostgreSQL alike. `tierqueue migrate` makes the tables. Read them
as you like; write with the commands alone, since the books prove themselves.
"""


def columns() -> dict[str, dict[str, str]]:
    """What each column of each table holds."""
    return tomllib.loads(_COLUMNS.read_text(encoding="utf-8"))


def page() -> str:
    """The whole page."""
    texts = columns()
    about: dict[str, str] = {}
    for module in _MODULES:
        about |= sources.names(module)
    parts = [_INTRODUCTION]
    for name, table in sorted(tables.metadata.tables.items()):
        parts += [f"## {name}", markdown.prose(about.get(name)), _table(table, texts.get(name, {}))]
    return markdown.page("The ledger's tables", *parts)


def kind(column: Column[object]) -> str:
    """A column's type in a word."""
    match column.type:
        case Boolean():
            return "boolean"
        case Integer() | BigInteger():
            return "integer"
        case Double():
            return "float"
        case LargeBinary():
            return "bytes"
        case JSON():
            return "JSON"
    return "text"


def _table(table: Table, texts: dict[str, str]) -> str:
    return markdown.table(
        ("column", "type", "null", "what it holds"),
        (
            (
                f"`{column.name}`" + (" (key)" if column.primary_key else ""),
                kind(column),
                "yes" if column.nullable else "",
                texts.get(column.name, ""),
            )
            for column in table.columns
        ),
    )
