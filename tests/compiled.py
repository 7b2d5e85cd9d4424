"""SQL that the ledgers of one test process compile once between them, instead of once for each."""

from typing import Any

import sqlalchemy
from sqlalchemy.util import LRUCache


class CompiledOnce(LRUCache[Any, Any]):
    """Compiled statements of all databases of one kind.

    SQLAlchemy's key begins with the dialect, and each engine makes one for itself. Those of one
    class compile alike for servers of one version, as a ledger sets nothing of them.
    """

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(_of_the_kind(*key), default)

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(_of_the_kind(*key), value)


def _of_the_kind(dialect: sqlalchemy.Dialect, *statement: Any) -> tuple[Any, ...]:
    return (type(dialect), dialect.server_version_info, *statement)


_KEPT = CompiledOnce(5000)


def create_engine(url: str, **options: Any) -> sqlalchemy.Engine:
    """As SQLAlchemy's, for a ledger; what it compiles, the next one finds."""
    return sqlalchemy.create_engine(url, execution_options={"compiled_cache": _KEPT}, **options)
