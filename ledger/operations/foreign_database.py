"""Somebody else's database: a query that changes nothing, and a table that is filled by key."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import JSON, Engine, MetaData, Table, create_engine, insert, inspect, text, update
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    NoSuchTableError,
    ResourceClosedError,
    SQLAlchemyError,
)
from sqlalchemy.pool import NullPool

from tierqueue.router.errors import InvalidItem
from tierqueue.router.policy.policy_errors import there_is_no

_AT_ONCE = 500


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


class Filled:
    """A table whose rows are filled in by their ``key``; what it lacks of ``columns`` is left out.

    ``left_out``: columns that came and are not in the table.
    """

    def __init__(self, engine: Engine, table: Table, key: str) -> None:
        self._engine = engine
        self._table = table
        self._key = key
        self.left_out: set[str] = set()

    def put(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Fill in rows in one transaction: those whose key is there are changed, others are added.

        The same rows again change nothing more.
        """
        with _refusals(), self._engine.begin() as connection:
            for row in rows:
                there = {name: value for name, value in row.items() if name in self._table.c}
                self.left_out |= row.keys() - there.keys()
                if there.keys() == {self._key}:
                    raise InvalidItem(
                        f"the table has none of the columns {', '.join(sorted(self.left_out))}"
                    )
                values = {name: self._value(name, value) for name, value in there.items()}
                known = values.pop(self._key)
                if known is None:
                    raise InvalidItem(f"a row has no {self._key}: it has no place in the table")
                of = self._table.c[self._key] == known
                changed = connection.execute(update(self._table).where(of).values(**values))
                if not changed.rowcount:
                    connection.execute(insert(self._table).values({**values, self._key: known}))

    def _value(self, name: str, value: Any) -> Any:
        kind = self._table.c[name].type
        if isinstance(value, dict | list) and not isinstance(kind, JSON):
            return json.dumps(value, ensure_ascii=False)
        try:
            wanted = kind.python_type
        except NotImplementedError:
            return value
        if isinstance(value, str) and wanted in (int, float):
            try:
                return wanted(value)
            except ValueError:
                raise InvalidItem(f"{name} {value!r} is no number, as the table has it") from None
        return str(value) if wanted is str and isinstance(value, int | float) else value


@contextmanager
def filled(url: str, name: str, key: str) -> Iterator[Filled]:
    """The table ``name`` (or ``schema.name``) at an address, to be filled in by ``key``.

    Raises ``InvalidItem`` where it is not there, and where ``key`` is not unique in it: then a row
    could stand in it twice.
    """
    engine = _engine(url)
    schema, _, bare = name.rpartition(".")
    with _refusals():
        try:
            table = Table(bare, MetaData(), schema=schema or None, autoload_with=engine)
        except NoSuchTableError:
            raise InvalidItem(f"the database has no table {name}") from None
        if key not in table.c:
            raise InvalidItem(there_is_no("column", key, table.c.keys()))
        look = inspect(engine)
        unique = [list(table.primary_key.columns.keys())]
        unique += [
            found["column_names"] for found in look.get_unique_constraints(bare, schema or None)
        ]
        unique += [
            list(map(str, found["column_names"]))
            for found in look.get_indexes(bare, schema or None)
            if found["unique"]
        ]
    if [key] not in unique:
        raise InvalidItem(
            f"{key} is not unique in {name}: make it the primary key, or give it a unique index, so"
            " that no row stands there twice"
        )
    yield Filled(engine, table, key)


def _engine(url: str) -> Engine:
    try:
        return create_engine(url, poolclass=NullPool, hide_parameters=True)
    except ModuleNotFoundError as error:
        raise InvalidItem(f"the database's driver is missing: pip install {error.name}") from None
    except (ArgumentError, ValueError):
        raise InvalidItem("this is no address of a database: such as postgresql://…") from None


@contextmanager
def _refusals() -> Iterator[None]:
    """What a database says, without its address."""
    try:
        yield
    except ResourceClosedError:
        raise InvalidItem("the query gives no rows: write a SELECT") from None
    except DBAPIError as error:
        why = str(error.orig).strip().splitlines()
        raise InvalidItem(f"the database refused: {why[0] if why else 'no reason'}") from None
    except SQLAlchemyError as error:
        raise InvalidItem(f"the database cannot be asked: {type(error).__name__}") from None
