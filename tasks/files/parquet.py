"""Parquet: read a few rows at a time, and given back with its types."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.files.columns import named
from tierqueue.tasks.files.extras import needed
from tierqueue.tasks.files.plain import json_text, plain_value
from tierqueue.tasks.files.source import Format, Reading, Source, SourceRow

_AT_ONCE = 4_000_000
"""Bytes, unpacked, that are read at a time where rows are even."""

_WRITTEN_AT_ONCE = 1_000
"""Rows whose answers tell the types of the columns that are added."""


def read(path: Path, _reading: Reading) -> Source:
    """A Parquet file, of which only its end is read yet; raises ``InvalidItem`` for another."""
    needed("pyarrow", f"{path} is Parquet")
    with _opened(path) as file:
        schema = file.schema_arrow
        total = file.metadata.num_rows
        size = sum(file.metadata.row_group(n).total_byte_size for n in range(file.num_row_groups))
    columns = named(path, schema.names)
    if not total:
        raise InvalidItem(f"{path} has no rows")
    at_once = min(1_000, max(1, _AT_ONCE * total // max(size, 1)))

    def rows() -> Iterator[SourceRow]:
        number = 0
        with _opened(path) as file:
            for batch in file.iter_batches(batch_size=at_once, use_threads=False):
                values = [
                    _listed(path, name, batch.column(place)) for place, name in enumerate(columns)
                ]
                for row in zip(*values, strict=True):
                    named_row = dict(zip(columns, row, strict=True))
                    yield SourceRow(number, named_row, f"row {number + 1}")
                    number += 1

    form = Format("parquet", header=tuple(schema.names), schema=schema)
    return Source(path.name, form, columns, total, rows)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    arrow = needed("pyarrow", f"{path} is Parquet")
    parquet = needed("pyarrow.parquet", f"{path} is Parquet")
    try:
        # Without a buffer of its own a whole row group would stand in memory.
        with parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
            yield file
    except (arrow.ArrowException, OSError) as error:
        why = str(error).splitlines()[0]
        raise InvalidItem(f"{path} cannot be read as Parquet: {why}") from None


def _listed(path: Path, name: str, column: Any) -> list[Any]:
    arrow = needed("pyarrow", f"{path} is Parquet")
    try:
        return list(column.to_pylist())
    except ValueError:
        pass  # nanoseconds, which Python's times have not: they are text, with all their digits
    try:
        return list(column.cast(arrow.string()).to_pylist())
    except arrow.ArrowException:
        raise InvalidItem(f"{path}: column {name!r} is {column.type}, which is not read") from None


@contextmanager
def written(
    file: IO[bytes], form: Format, columns: Sequence[str], _added: frozenset[str]
) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """What writes rows with the source's own types, and added columns by what they first hold."""
    parquet = needed("pyarrow.parquet", "results as .parquet")
    waiting: list[Mapping[str, Any]] = []
    made: list[Any] = []

    def flush() -> None:
        if not made:
            made.append(parquet.ParquetWriter(file, _schema(form, columns, waiting)))
        made[0].write_batch(_batch(made[0].schema, waiting))
        waiting.clear()

    def write(row: Mapping[str, Any]) -> None:
        waiting.append(row)
        if len(waiting) >= _WRITTEN_AT_ONCE:
            flush()

    try:
        yield write
        flush()
    finally:
        for writer in made:
            writer.close()


def _schema(form: Format, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Any:
    arrow = needed("pyarrow", "results as .parquet")
    own = {} if form.schema is None else {field.name: field for field in form.schema}
    fields = [
        own.get(name) or arrow.field(name, _type_of([row.get(name) for row in rows]))
        for name in columns
    ]
    return arrow.schema(fields, None if form.schema is None else form.schema.metadata)


def _type_of(values: Sequence[Any]) -> Any:
    arrow = needed("pyarrow", "results as .parquet")
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return arrow.bool_()
    if kinds == {int} and all(abs(value) < 2**63 for value in values if value is not None):
        return arrow.int64()
    exact = not any(_is_beyond_float(value) for value in values)
    return arrow.float64() if kinds and kinds <= {int, float} and exact else arrow.string()


def _is_beyond_float(value: Any) -> bool:
    """Whether it is a whole number that a float may have no place for."""
    return type(value) is int and abs(value) > 2**53


def _batch(schema: Any, rows: Sequence[Mapping[str, Any]]) -> Any:
    arrow = needed("pyarrow", "results as .parquet")
    arrays = []
    for field in schema:
        values = [row.get(field.name) for row in rows]
        if arrow.types.is_string(field.type):
            values = [_text(value) for value in values]
        try:
            arrays.append(arrow.array(values, field.type))
        except (arrow.ArrowException, OverflowError):
            try:
                if arrow.types.is_floating(field.type) and any(map(_is_beyond_float, values)):
                    raise arrow.ArrowInvalid("a whole number would lose digits")
                arrays.append(arrow.array([_text(value) for value in values]).cast(field.type))
            except arrow.ArrowException as error:
                raise InvalidItem(
                    f"column {field.name!r} is {field.type} by its first rows: {error};"
                    " write .jsonl"
                ) from None
    return arrow.record_batch(arrays, schema=schema)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    said = value if isinstance(value, str) else plain_value(value)
    said = said if isinstance(said, str) else json_text(said)
    return said.encode("utf-8", "replace").decode("utf-8")
