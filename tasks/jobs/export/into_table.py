"""A table that a job's rows go back into as they end, by a column of the file."""

import os
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from tierqueue.ledger.operations.foreign_database import filled
from tierqueue.router.errors import InvalidItem
from tierqueue.router.policy.policy_errors import nearest
from tierqueue.tasks.files.plain import plain_value
from tierqueue.tasks.files.source import Source, SourceRow
from tierqueue.tasks.files.spooled.query import address, is_database


@dataclass(frozen=True, slots=True)
class IntoTable:
    """``place``: ``env:NAME``, whose variable holds a database's address; ``table``: there, filled
    in by the file's column ``key``. ``prefix`` stands before the name of each added column.
    """

    place: str
    table: str
    key: str
    prefix: str = ""

    def __post_init__(self) -> None:
        if not is_database(Path(self.place)):
            raise InvalidItem(
                f"--into {self.place}: say env:NAME, whose variable holds the address"
            )

    @property
    def here(self) -> bool:
        """Whether the variable is there in this process: the routing stage's is what counts."""
        return bool(os.environ.get(self.place.removeprefix("env:")))

    @property
    def not_here(self) -> str:
        """What to do where the variable is not there."""
        return (
            f"{self.place} is not set here, so the table was not looked at: the routing stage's"
            " process needs it, which writes the rows; where the name is wrong, end the job with"
            " tierqueue job cancel"
        )

    def url(self) -> str:
        """The database's address; raises ``InvalidItem`` where the variable is not there."""
        return address(Path(self.place))

    def stated(self) -> dict[str, str]:
        """What the ledger keeps of it."""
        values: dict[str, str] = asdict(self)
        return {"table_name": values.pop("table"), **values}

    def check(self, source: Source) -> None:
        """Raises ``InvalidItem`` for a column that is not there, values of it that stand in two
        rows, and, where the variable is there, a table that cannot be filled.
        """
        if self.key not in source.columns:
            near = nearest(self.key, source.columns)
            raise InvalidItem(f"--key {self.key}: {source.name} has no such column{near}")
        if self.here:
            with filled(self.url(), self.table, self.key):
                pass
        only_once(source, self.key)

    def of(self, row: SourceRow) -> Any:
        """A row's value of the key, as JSON has it; ``None`` where it has none."""
        return key_of(row, self.key)


def key_of(row: SourceRow, column: str) -> Any:
    """A row's value of a key, as JSON has it; ``None`` where it has none."""
    value = plain_value(row.columns.get(column))
    return None if value in ("", None) else value


def only_once(source: Source, column: str) -> None:
    """Raises ``InvalidItem`` where two rows have the same value: the second would overwrite the
    first. Some 100 bytes of memory a row.
    """
    known: set[int] = set()
    for row in source.rows():
        if (value := key_of(row, column)) is None:
            continue
        digest = _digest(value)
        if digest in known:
            places = [r.place for r in source.rows() if key_of(r, column) == value]
            if len(places) > 1:
                raise InvalidItem(
                    f"--key {column}: {places[0]} and {places[1]} of {source.name} have the same"
                    " one, and a table has a place for one of them"
                )
        known.add(digest)


def _digest(value: Any) -> int:
    return int.from_bytes(blake2b(str(value).encode("utf-8", "replace"), digest_size=8).digest())
