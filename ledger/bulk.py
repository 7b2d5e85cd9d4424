"""Many rows in one go: what a slice writes, at the speed of the database.

The one place where the two databases are spoken to differently: SQLite runs one prepared statement
row by row inside this process, PostgreSQL takes all rows in one statement and one round trip.
Every name in a statement is a table's or a column's of ``models``; what a row says is a parameter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    Connection,
    Dialect,
    Table,
    Text,
    TypeDecorator,
    bindparam,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType, TypeEngine, UserDefinedType

from tierqueue.ledger.json_text import encoded

Rows = Sequence[Mapping[str, Any]]
"""Rows of one table by column name, all with the same columns (two or more)."""

_POSTGRESQL = postgresql.dialect()  # type: ignore[no-untyped-call]


class _ArrayOfTexts(UserDefinedType[str]):
    """An array that is sent as PostgreSQL writes it: its driver takes long over a list."""

    cache_ok = True
    render_bind_cast = True

    def get_col_spec(self, **_: Any) -> str:
        return "TEXT[]"


class _Texts(TypeDecorator[Sequence[str]]):
    """Any number of texts in one parameter."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        kind = _ArrayOfTexts() if dialect.name == "postgresql" else Text()
        return dialect.type_descriptor(kind)

    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> str:
        texts = list(value or ())
        return _array_of(texts) if dialect.name == "postgresql" else encoded(texts)


def _array_of(texts: Sequence[str]) -> str:
    """The texts as PostgreSQL writes an array of them."""
    if not texts:
        return "{}"
    if any(special in text for special in '"\\' for text in texts):
        texts = [text.replace("\\", "\\\\").replace('"', '\\"') for text in texts]
    return '{"' + '","'.join(texts) + '"}'


class _Membership(FunctionElement[Any]):
    # A Boolean would become `… = 1` on SQLite, which reads the whole table.
    type = NullType()
    inherit_cache = True


def among(column: Column[Any], name: str = "ids") -> ColumnElement[Any]:
    """Whether ``column`` is one of the texts given as parameter ``name``, however many."""
    return _Membership(column, bindparam(name, type_=_Texts()))


@compiles(_Membership, "sqlite")
def _among_sqlite(element: _Membership, compiler: SQLCompiler, **how: Any) -> str:
    column, texts = (compiler.process(clause, **how) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({texts}))"  # noqa: S608


@compiles(_Membership, "postgresql")
def _among_postgresql(element: _Membership, compiler: SQLCompiler, **how: Any) -> str:
    column, texts = (compiler.process(clause, **how) for clause in element.clauses)
    return f"{column} = ANY({texts})"


_MANY = 8
"""Rows from which on what they say alike, most of what a batch of items says, is sent once."""


@dataclass(frozen=True, slots=True)
class PreparedRows:
    """Rows ready to be written: what took time was done before the transaction."""

    statement: str
    parameters: Any

    def write(self, connection: Connection) -> None:
        """Write the rows, on the dialect they were prepared for."""
        if self.statement:
            connection.exec_driver_sql(self.statement, self.parameters)


def prepare_insert(dialect: str, table: Table, rows: Rows) -> PreparedRows:
    """Make rows ready for ``insert_many``; ``dialect`` is the ledger's."""
    return _prepare(dialect, table, (), rows)


def prepare_update(
    dialect: str, table: Table, keys: tuple[str, ...], rows: Rows, adding: tuple[str, ...] = ()
) -> PreparedRows:
    """Make rows ready for ``update_many``; what ``adding`` names is added to what stands there."""
    return _prepare(dialect, table, keys, rows, adding)


def insert_many(connection: Connection, table: Table, rows: Rows) -> None:
    """Insert ``rows``; columns left out are null."""
    _prepare(connection.dialect.name, table, (), rows).write(connection)


def update_many(connection: Connection, table: Table, keys: tuple[str, ...], rows: Rows) -> None:
    """Set every other column of ``rows`` where ``keys`` match; the caller has locked the rows."""
    _prepare(connection.dialect.name, table, keys, rows).write(connection)


def update_records(
    connection: Connection, table: Table, keys: tuple[str, ...], records: Sequence[NamedTuple]
) -> None:
    """As ``update_many``, of records of one kind whose fields are named as the columns."""
    if records:
        columns = dict(zip(records[0]._fields, zip(*records, strict=True), strict=True))
        _prepare_columns(connection.dialect.name, table, keys, columns).write(connection)


def upsert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An insert that knows ``on_conflict_do_nothing``, and whose ``rowcount`` can be believed.

    Without the option PostgreSQL's says -1 whatever was inserted.
    """
    return upsert_in(connection.dialect.name, table)


def upsert_in(dialect: str, table: Table) -> sqlite.Insert | postgresql.Insert:
    """As ``upsert``, for a statement that is made once for each ``dialect``."""
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    return insert(table).execution_options(preserve_rowcount=True)


def _prepare(
    dialect: str, table: Table, keys: tuple[str, ...], rows: Rows, adding: tuple[str, ...] = ()
) -> PreparedRows:
    if not rows:
        return PreparedRows("", None)
    names = tuple(rows[0])
    values = zip(*map(itemgetter(*names), rows), strict=True)
    return _prepare_columns(dialect, table, keys, dict(zip(names, values, strict=True)), adding)


def _prepare_columns(
    dialect: str,
    table: Table,
    keys: tuple[str, ...],
    given: Mapping[str, Sequence[Any]],
    adding: tuple[str, ...] = (),
) -> PreparedRows:
    names = tuple(sorted(given, key=lambda name: name in keys))
    columns = {
        name: _texts(given[name]) if isinstance(table.c[name].type, JSON) else given[name]
        for name in names
    }
    if dialect == "sqlite":
        statement = _sqlite(table, keys, names, adding)
        return PreparedRows(statement, list(zip(*columns.values(), strict=True)))
    alike = tuple(name for name, values in columns.items() if name not in keys and _alike(values))
    if len(columns[names[0]]) < _MANY or len(alike) == len(names):
        alike = ()
    own = [name for name in names if name not in alike]
    each = zip(*(columns[name] for name in own), strict=True)
    parameters = {"rows": encoded([dict(zip(own, values, strict=True)) for values in each])}
    if alike:
        parameters["alike"] = encoded({name: columns[name][0] for name in alike})
    return PreparedRows(_postgresql(table, keys, names, adding, alike), parameters)


def _texts(values: Sequence[Any]) -> list[str | None]:
    """JSON values as texts: rows that are made together share values, such as one route, and each
    is encoded once.
    """
    texts: dict[int, str] = {}
    found: list[str | None] = []
    for value in values:
        text = None if value is None else texts.get(id(value))
        if text is None and value is not None:
            text = texts[id(value)] = encoded(value)
        found.append(text)
    return found


def _alike(values: Sequence[Any]) -> bool:
    return values[0] == values[-1] and values.count(values[0]) == len(values)


@lru_cache(maxsize=64)
def _sqlite(
    table: Table, keys: tuple[str, ...], columns: tuple[str, ...], adding: tuple[str, ...]
) -> str:
    # What fails fails the transaction: without OR FAIL a row with triggers keeps a journal of its
    # own to undo it alone, which takes longer than the row.
    if not keys:
        places = ", ".join("?" * len(columns))
        return f"INSERT OR FAIL INTO {table.name} ({_names(columns)}) VALUES ({places})"  # noqa: S608
    changes = ", ".join(
        f'"{name}" = "{name}" + ?' if name in adding else f'"{name}" = ?'
        for name in columns
        if name not in keys
    )
    match = " AND ".join(f'"{name}" = ?' for name in columns if name in keys)
    return f"UPDATE OR FAIL {table.name} SET {changes} WHERE {match}"  # noqa: S608


@lru_cache(maxsize=256)
def _postgresql(
    table: Table,
    keys: tuple[str, ...],
    columns: tuple[str, ...],
    adding: tuple[str, ...],
    alike: tuple[str, ...],
) -> str:
    kinds = {name: table.c[name].type.compile(_POSTGRESQL) for name in columns}
    source = {name: "a" if name in alike else "v" for name in columns}
    value = {
        name: f'{source[name]}."{name}"' + ("::JSON" if kind == "JSON" else "")
        for name, kind in kinds.items()
    }

    def given(alias: str) -> str:
        # JSON within the JSON travels as text: PostgreSQL reads its escapes, and refuses \u0000.
        return ", ".join(
            f'"{name}" {"TEXT" if kind == "JSON" else kind}'
            for name, kind in kinds.items()
            if source[name] == alias
        )

    sources = f"json_to_recordset(%(rows)s::JSON) AS v({given('v')})"
    if alike:
        sources += f", json_to_record(%(alike)s::JSON) AS a({given('a')})"
    if not keys:
        values = ", ".join(value.values())
        return f"INSERT INTO {table.name} ({_names(columns)}) SELECT {values} FROM {sources}"  # noqa: S608
    before = {name: f'{table.name}."{name}" + ' for name in adding}
    changes = ", ".join(
        f'"{name}" = {before.get(name, "")}{value[name]}' for name in columns if name not in keys
    )
    match = " AND ".join(f'{table.name}."{name}" = v."{name}"' for name in keys)
    return f"UPDATE {table.name} SET {changes} FROM {sources} WHERE {match}"  # noqa: S608


def _names(columns: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in columns)
