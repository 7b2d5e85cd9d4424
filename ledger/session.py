"""Connections: one write transaction at a time on SQLite, row locks on PostgreSQL."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import TypeVar

import structlog
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    literal_column,
    select,
    text,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    StatementError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from tierqueue.ledger import postgresql
from tierqueue.ledger.schema import of_this_schema
from tierqueue.ledger.sqlite import connections, job_moves, turns
from tierqueue.ledger.sqlite.path import check_path
from tierqueue.router.errors import Misconfigured

_log = structlog.get_logger(__name__)

Transaction = Connection
"""One open transaction, as the packages above hold it."""

_BUSY_SECONDS = 30
Answer = TypeVar("Answer")
_START_PATIENCE = 30.0
_DIALECTS = ("sqlite", "postgresql")

READ_ONLY = "25006"
"""How PostgreSQL says that a transaction cannot write."""

_REWRITTEN = 512 * 2**20
"""Bytes of a SQLite file that are rewritten while workers wait: within half a usual lease."""

CLOCK: ColumnElement[int] = literal_column(
    "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)", BigInteger
)
"""PostgreSQL's clock, epoch microseconds, for what is asked together with something else."""
_NOW = select(CLOCK)


class Ledger:
    """The database that remembers every item and every nano-dollar.

    ``url`` is ``sqlite:///path`` or ``postgresql://…``; raises ``Misconfigured`` for another.
    Connections are made on first use, are safe between threads and must not cross a fork.
    ``frozen_seconds``: how long PostgreSQL lets a process that was stopped in the middle of a
    transaction hold its locks; then it is rolled back, and the process told when it goes on.
    ``idle_reads_seconds``: the same for transactions that only read, which hold up nobody; without
    it theirs is ``frozen_seconds`` too. ``patience_seconds``: how long SQLite's writers wait for
    their turn; without it as long as it takes.
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 8,
        frozen_seconds: float = 5.0,
        idle_reads_seconds: float | None = None,
        patience_seconds: float | None = None,
    ) -> None:
        try:
            parsed = make_url(url)
            dialect = parsed.get_backend_name()
        except (ArgumentError, ValueError):
            raise Misconfigured("TIERQUEUE_LEDGER_URL is not a database URL") from None
        if dialect not in _DIALECTS or (dialect == "sqlite" and not parsed.database):
            raise Misconfigured(
                f"TIERQUEUE_LEDGER_URL names a {dialect} database without a file or of a kind"
                " that is not supported: use sqlite:///path or postgresql://…"
            )
        if dialect == "sqlite":
            check_path(Path(str(parsed.database)))
        try:
            parsed.get_dialect().import_dbapi()
        except (ArgumentError, ImportError):
            raise Misconfigured(
                f"TIERQUEUE_LEDGER_URL asks for {parsed.drivername}, which is not installed: write"
                f" {dialect}:// alone"
            ) from None
        if dialect == "postgresql" and "@" in (parsed.database or ""):
            raise Misconfigured(
                "TIERQUEUE_LEDGER_URL has an @ behind its host: in a user name or password write"
                " @ as %40, / as %2F and : as %3A"
            )
        self.dialect = dialect
        self._before_reads = None
        if dialect == "postgresql" and idle_reads_seconds is not None:
            milliseconds = round(idle_reads_seconds * 1000)
            limit = f"SET LOCAL idle_in_transaction_session_timeout = {milliseconds}"
            self._before_reads = text(limit)
        self._turns: turns.Turns | None = None
        if dialect == "sqlite":
            self._turns = turns.Turns(f"{parsed.database}-turns", patience_seconds)
            busy = _BUSY_SECONDS if patience_seconds is None else patience_seconds
            self._writer = connections.connect(url, pool_size, busy)
            self._reader = connections.connect(url, pool_size, busy, read_only=True)
            self._by_itself = self._reader
        else:
            self._writer = postgresql.connect(url, pool_size, frozen_seconds)
            self._reader = self._writer.execution_options(postgresql_readonly=True)
            self._by_itself = self._writer.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A write transaction: committed when the block ends, rolled back when it raises.

        Raises ``LedgerMismatch``, here and in ``read``, where a table or column is not there.
        """
        turn = nullcontext() if self._turns is None else self._turns
        with of_this_schema(self._reader), turn, self._writer.begin() as connection:
            yield connection
            if self._turns is not None:
                job_moves.add(connection)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that cannot write and blocks no writer."""
        with of_this_schema(self._reader), self._reader.begin() as connection:
            if self._before_reads is not None:
                connection.execute(self._before_reads)
            yield connection

    @contextmanager
    def ask(self) -> Iterator[Connection]:
        """For questions of which each stands by itself: PostgreSQL opens no transaction for them,
        which takes two round trips less. As ``read`` on SQLite.
        """
        with of_this_schema(self._reader), self._by_itself.connect() as connection:
            yield connection

    def now(self) -> int:
        """The database's clock, asked outside a transaction; as ``now`` within one."""
        if self._turns is not None:
            return _now_here()
        with self._by_itself.connect() as connection:
            return now(connection)

    def await_answer(self, ask: Callable[[], Answer]) -> Answer:
        """What ``ask`` returns, once the database answers it; raises its error after half a minute.

        For a process that starts while the database does: it must not end for that. What ``ask``
        raises for another reason is raised at once.
        """
        until = time.monotonic() + _START_PATIENCE
        pause = threading.Event()
        while True:
            try:
                return ask()
            except DBAPIError as error:
                if not unreachable(error) or time.monotonic() > until:
                    raise
                _log.warning("ledger_unreachable", error=type(error).__name__)
                pause.wait(1.0)

    def rewrite(self) -> bool:
        """Write a SQLite file anew, without what was erased, and empty its write-ahead file.

        Writers wait meanwhile, about a second for 100 MB. False where something of it may be left:
        the file is too large to be rewritten beside workers with leases, or readers held on to the
        old one. Of PostgreSQL nothing can be said: false.
        """
        if self._turns is None:
            return False
        path = Path(str(self._writer.url.database))
        with self._turns, closing(self._writer.raw_connection()) as connection:
            cursor = connection.cursor()
            small = path.stat().st_size <= _REWRITTEN
            if small:
                cursor.execute("VACUUM")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            row = cursor.fetchone()
        return small and row is not None and row[0] == 0

    @property
    def one_writer(self) -> bool:
        """Whether at most one write transaction is open at a time, over all processes."""
        return self._turns is not None

    @property
    def engine(self) -> Engine:
        """The writing engine, for migrations and for callers with sessions of their own."""
        return self._writer

    def close(self) -> None:
        """Close every connection."""
        self._writer.dispose()
        self._reader.dispose()
        if self._turns is not None:
            self._turns.close()


def now(connection: Connection) -> int:
    """The database's clock, epoch microseconds; SQLite's is that of the machine it is on."""
    if connection.dialect.name == "sqlite":
        return _now_here()
    return int(connection.execute(_NOW).scalar_one())


def _now_here() -> int:
    """The clock of this machine, microseconds since the epoch."""
    return time.time_ns() // 1000


def unreachable(error: BaseException) -> bool:
    """Whether ``error`` says that the database could not be asked, or takes no writes now."""
    if isinstance(error, OperationalError | InterfaceError | PoolTimeout):
        return True
    return isinstance(error, DBAPIError) and (
        error.connection_invalidated or getattr(error.orig, "sqlstate", None) == READ_ONLY
    )


def unstorable(error: BaseException) -> bool:
    """Whether ``error`` says that the database can never hold these values, however often asked.

    A NUL in a text, a number beyond its column, an id that another row has, what is no JSON.
    """
    never = (DataError, IntegrityError, ValueError, TypeError, OverflowError, RecursionError)
    return isinstance(error, never) or (
        isinstance(error, StatementError) and not isinstance(error, DBAPIError)
    )


def refused(error: BaseException) -> bool:
    """Whether the database said ``error``, for whatever cause."""
    return isinstance(error, DBAPIError)
