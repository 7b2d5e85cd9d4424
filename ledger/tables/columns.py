"""The parts of every table: the one ``metadata``, ids, JSON, and indexes on some rows alone."""

from typing import Any

from sqlalchemy import JSON, BigInteger, Integer, MetaData, Text, text

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite gives a rowid (and so auto-increment) only to a column of type INTEGER.
Serial = BigInteger().with_variant(Integer, "sqlite")
# Ids sort by their bytes on every server: rows are locked in that order, by SQL and by Python.
Id = Text().with_variant(Text(collation="C"), "postgresql")
# A Python None in a JSON column is SQL NULL: "no value", never the JSON word null.
Json = JSON(none_as_null=True)


def where(condition: str) -> dict[str, Any]:
    """A partial index: on rows under ``condition`` alone."""
    return {"postgresql_where": text(condition), "sqlite_where": text(condition)}
