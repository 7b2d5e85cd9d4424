"""Somebody else's database: a query that changes nothing, and a table that is filled by key."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from sqlalchemy import (
    JSON,
    Connection,
    Engine,
    MetaData,
    Table,
    create_engine,
    false,
    insert,
    inspect,
    make_url,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    NoSuchTableError,
    ResourceClosedError,
    SQLAlchemyError,
    StatementError,
)
from sqlalchemy.pool import NullPool

from tierqueue.router.errors import InvalidItem
from tierqueue.router.policy.policy_errors import there_is_no

_AT_ONCE = 500

_PATIENT = frozenset({"psycopg", "psycopg2", "pymysql", "mysqldb"})
"""Drivers that take as ``connect_timeout`` the seconds that a connection may take."""

_READ: Mapping[type, Callable[[str], Any]] = {
    int: int,
    float: float,
    Decimal: Decimal,
    datetime: datetime.fromisoformat,
    date: date.fromisoformat,
    time: time.fromisoformat,
    UUID: UUID,
    bool: {"true": True, "false": False, "1": True, "0": False}.__getitem__,
}
"""Kinds of columns that take no text, and how a text becomes one."""


def rows(url: str, statement: str) -> Iterator[tuple[Sequence[str], Sequence[Any]]]:
    """The names of the columns and the values of every row, in the order of the database.

    The transaction cannot write where the database knows such ones (SQLite, PostgreSQL), and is
    rolled back in any case. Raises ``InvalidItem``, without the address, which holds a password.
    """
    engine = _engine(url)
    with _refusals(), engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA query_only = ON")
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        # A colon is a colon here: the statement has no parameters.
        asked = text(statement.replace(":", "\\:")).execution_options(stream_results=True)
        found = connection.execute(asked)
        names = tuple(found.keys())
        for row in found.yield_per(_AT_ONCE):
            yield names, tuple(row)


class TargetTable:
    """A table whose rows are filled in by their ``key``; what it lacks of ``columns`` is left out.

    ``left_out``: columns that came and are not in the table.
    """

    def __init__(self, engine: Engine, table: Table, key: str, seconds: int | None) -> None:
        self._engine = engine
        self._seconds = seconds
        self._table = table
        self._key = key
        self.left_out: set[str] = set()

    def put(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Fill in rows in one transaction: those whose key is there are changed, others are added.

        The same rows again change nothing more. Raises ``InvalidItem``, whose ``fields`` name the
        ``kind`` of error without anything of a row, and ``row`` where a row is to blame.
        """
        with self._begun() as connection:
            for row in rows:
                there = {name: value for name, value in row.items() if name in self._table.c}
                self.left_out |= row.keys() - there.keys()
                if there.keys() == {self._key}:
                    raise InvalidItem(
                        f"the table has none of the columns {', '.join(sorted(self.left_out))}",
                        {"kind": "no such columns"},
                    )
                values = {name: self._value(name, value) for name, value in there.items()}
                known = values.pop(self._key)
                if known is None:
                    raise InvalidItem(
                        f"a row has no {self._key}: it has no place in the table",
                        {"kind": "no key", "row": True},
                    )
                of = self._table.c[self._key] == known
                changed = connection.execute(update(self._table).where(of).values(**values))
                if not changed.rowcount:
                    connection.execute(insert(self._table).values({**values, self._key: known}))

    def there(self, rows: Sequence[Mapping[str, Any]]) -> list[bool]:
        """Whether a row of this key stands in the table with something in any of these columns."""
        found = []
        key = self._table.c[self._key]
        with self._begun() as connection:
            for row in rows:
                added = [column for column in self._table.c if column.name in row]
                said = or_(false(), *(one.is_not(None) for one in added if one is not key))
                of = key == self._value(self._key, row[self._key])
                found.append(connection.execute(select(key).where(of, said)).first() is not None)
        return found

    @contextmanager
    def _begun(self) -> Iterator[Connection]:
        with _refusals(), self._engine.begin() as connection:
            if self._seconds and connection.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{self._seconds}s'")
            yield connection

    def _value(self, name: str, value: Any) -> Any:
        kind = self._table.c[name].type
        if isinstance(value, dict | list) and not isinstance(kind, JSON):
            return json.dumps(value, ensure_ascii=False)
        try:
            wanted = kind.python_type
        except NotImplementedError:
            return value
        if isinstance(value, str) and wanted in _READ:
            try:
                return _READ[wanted](value.lower() if wanted is bool else value)
            except (ValueError, KeyError, InvalidOperation):
                raise InvalidItem(
                    f"{name} {value!r} is no {wanted.__name__}, as the table has it",
                    {"kind": f"{name} is no {wanted.__name__}", "row": True},
                ) from None
        return str(value) if wanted is str and isinstance(value, int | float) else value


@contextmanager
def filled(url: str, name: str, key: str, seconds: int | None = None) -> Iterator[TargetTable]:
    """The table ``name`` (or ``schema.name``) at an address, to be filled in by ``key``.

    ``seconds``: how long the database may take for a connection and, PostgreSQL, for a statement.
    Raises ``InvalidItem`` where it is not there, and where ``key`` is not unique in it: then a row
    could stand in it twice.
    """
    engine = _engine(url, seconds)
    schema, _, bare = name.rpartition(".")
    with _refusals():
        try:
            table = Table(bare, MetaData(), schema=schema or None, autoload_with=engine)
        except NoSuchTableError:
            raise InvalidItem(
                f"the database has no table {name}", {"kind": "no such table"}
            ) from None
        if key not in table.c:
            no_key = there_is_no("column", key, table.c.keys())
            raise InvalidItem(no_key, {"kind": f"no column {key}"})
        inspector = inspect(engine)
        unique = [list(table.primary_key.columns.keys())]
        unique += [
            found["column_names"]
            for found in inspector.get_unique_constraints(bare, schema or None)
        ]
        unique += [
            list(map(str, found["column_names"]))
            for found in inspector.get_indexes(bare, schema or None)
            if found["unique"]
        ]
    if [key] not in unique:
        raise InvalidItem(
            f"{key} is not unique in {name}: make it the primary key, or give it a unique index, so"
            " that no row stands there twice",
            {"kind": f"{key} is not unique"},
        )
    yield TargetTable(engine, table, key, seconds)


def _engine(url: str, seconds: int | None = None) -> Engine:
    try:
        waits = seconds and make_url(url).get_driver_name() in _PATIENT
        arguments = {"connect_timeout": seconds} if waits else {}
        return create_engine(url, poolclass=NullPool, hide_parameters=True, connect_args=arguments)
    except ModuleNotFoundError as error:
        raise InvalidItem(
            f"the database's driver is missing: pip install {error.name}",
            {"kind": f"no {error.name}"},
        ) from None
    except (ArgumentError, ValueError):
        raise InvalidItem(
            "this is no address of a database: such as postgresql://…", {"kind": "no address"}
        ) from None


@contextmanager
def _refusals() -> Iterator[None]:
    """What a database says, without its address."""
    try:
        yield
    except ResourceClosedError:
        raise InvalidItem("the query gives no rows: write a SELECT") from None
    except DBAPIError as error:
        why = str(error.orig).strip().splitlines()
        row = isinstance(error, IntegrityError | DataError)
        raise InvalidItem(
            f"the database refused: {why[0] if why else 'no reason'}",
            {"kind": _kind(error), "row": row},
        ) from None
    except SQLAlchemyError as error:
        # A value of a kind that the driver cannot send is one row's own fault.
        kind = type(error).__name__
        raise InvalidItem(
            f"the database cannot be asked: {kind}",
            {"kind": kind, "row": isinstance(error, StatementError)},
        ) from None


def _kind(error: DBAPIError) -> str:
    """Which error it is, without what it says, which may quote a value or where the database is."""
    said = type(error).__name__
    codes = ("sqlstate", "sqlite_errorname")
    code = next((str(c) for name in codes if (c := getattr(error.orig, name, None))), None)
    where = getattr(error.orig, "diag", None)
    of = [
        str(name)
        for part in ("column_name", "constraint_name")
        if (name := getattr(where, part, None))
    ]
    return " ".join([said, *([code] if code else []), *of])
