"""The rows of a query, asked of a database whose address an environment variable holds."""

import os
import re
from pathlib import Path

from tierqueue.ledger.operations import foreign_database
from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.files import json_lines
from tierqueue.tasks.files.columns import named
from tierqueue.tasks.files.plain import json_text
from tierqueue.tasks.files.source import Reading, Source
from tierqueue.tasks.files.spooled.temporary_folder import TemporaryFolder

_PREFIX = "env:"
_ADDRESS = re.compile(r"[a-z0-9]+(\+[a-z0-9]+)?:/")


def is_database(path: Path) -> bool:
    """Whether a source is a database; raises ``InvalidItem`` for one that is named by its address.

    An address holds a password, and what a job was made of is written down.
    """
    if _ADDRESS.match(str(path)):
        raise InvalidItem(
            "a database's address holds a password: put it into an environment variable, and say"
            " env:NAME instead"
        )
    return path.name.startswith(_PREFIX)


def address(path: Path) -> str:
    """The address that the variable of ``env:NAME`` holds; raises ``InvalidItem`` without one."""
    variable = path.name.removeprefix(_PREFIX)
    url = os.environ.get(variable)
    if not url:
        raise InvalidItem(f"the environment has no {variable}: it holds the database's address")
    return url


def read(path: Path, reading: Reading) -> Source:
    """Every row of ``reading.query`` at the database of ``env:NAME``, asked once."""
    url = address(path)
    if reading.query is None:
        raise InvalidItem(f"{path.name} is a database: say which rows with --query 'SELECT …'")
    folder = TemporaryFolder()
    rows = folder.path / "rows.jsonl"
    with rows.open("w", encoding="utf-8") as file:
        for names, values in foreign_database.rows(url, reading.query):
            columns = named("the query", names)
            file.write(json_text(dict(zip(columns, values, strict=True))) + "\n")
    if not rows.stat().st_size:
        raise InvalidItem("the query has no rows")
    return folder.source(json_lines.read(rows, Reading()), path.name)
