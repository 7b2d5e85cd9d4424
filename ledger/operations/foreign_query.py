"""A query against somebody else's database: read row by row, and nothing is changed."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.exc import ArgumentError, DBAPIError, ResourceClosedError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from tierqueue.router.errors import InvalidItem

_AT_ONCE = 500


def rows(url: str, statement: str) -> Iterator[tuple[Sequence[str], Sequence[Any]]]:
    """The names of the columns and the values of every row, in the order of the database.

    The transaction cannot write where the database knows such ones (SQLite, PostgreSQL), and is
    rolled back in any case. Raises ``InvalidItem``, without the address, which holds a password.
    """
    try:
        engine = create_engine(url, poolclass=NullPool)
    except ModuleNotFoundError as error:
        raise InvalidItem(f"the database's driver is missing: pip install {error.name}") from None
    except (ArgumentError, ValueError):
        raise InvalidItem("this is no address of a database: such as postgresql://…") from None
    try:
        with engine.connect() as connection:
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
    except ResourceClosedError:
        raise InvalidItem("the query gives no rows: write a SELECT") from None
    except DBAPIError as error:
        why = str(error.orig).strip().splitlines()
        raise InvalidItem(f"the database refused: {why[0] if why else 'no reason'}") from None
    except SQLAlchemyError as error:
        raise InvalidItem(f"the database cannot be asked: {type(error).__name__}") from None
