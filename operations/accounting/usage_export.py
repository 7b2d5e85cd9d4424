"""A provider's usage export, read row by row: CSV with a header, JSON, or JSON lines.

Read are ``date`` (or ``started``: an ISO date or time, or epoch seconds), ``cost`` (dollars) or
``cost_nanousd``, and where they are there ``input_tokens``, ``output_tokens``, ``model``, ``item``
and ``fence`` (what the provider logged of the headers ``x-tierqueue-item`` and
``x-tierqueue-fence``). Other columns are the provider's own affair.
"""

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tierqueue.router.errors import InvalidItem
from tierqueue.router.money import NANO_PER_USD

MOST = 10**18
"""The largest number in a row: a billion dollars in nano-dollars."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """One row of an export: a call, or what a provider sums up of a day. ``cost`` in nano-dollars;
    ``day`` is UTC's.
    """

    day: date
    cost: int
    input_tokens: int = 0
    output_tokens: int = 0
    model: str | None = None
    item: str | None = None
    fence: int | None = None


def read(path: Path) -> list[UsageRow]:
    """Every row of the export at ``path``; raises ``InvalidItem`` naming the row that is none."""
    kind = path.suffix.lower()
    if kind not in (".csv", ".json", ".jsonl", ".ndjson"):
        raise InvalidItem(f"{path}: an export is a .csv, a .json or a .jsonl file")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidItem(f"{path} is not UTF-8 text") from None
    except OSError as error:
        raise InvalidItem(f"cannot read {path}: {error.strerror}") from None
    found = []
    for number, row in enumerate(_rows(path, kind, text), start=1):
        try:
            found.append(_billed(row))
        except ValueError as error:
            raise InvalidItem(f"{path}: row {number}: {error}") from None
    if not found:
        raise InvalidItem(f"{path} has no rows")
    return found


def _rows(path: Path, kind: str, text: str) -> Iterable[Any]:
    try:
        if kind == ".csv":
            return list(csv.DictReader(StringIO(text, newline=""), strict=True))
        if kind == ".json":
            value = json.loads(text, parse_float=Decimal)
            if not isinstance(value, list):
                raise InvalidItem(f"{path}: an export in JSON is one list of rows")
            return value
        lines = (line for line in text.splitlines() if line.strip())
        return [json.loads(line, parse_float=Decimal) for line in lines]
    except (csv.Error, ValueError) as error:
        raise InvalidItem(f"{path} cannot be read: {error}") from None


def _billed(row: Any) -> UsageRow:
    if not isinstance(row, Mapping):
        raise ValueError("not a row of named values")
    fence = _field_of(row, "fence")
    return UsageRow(
        day=_day(_field_of(row, "date", "started")),
        cost=_cost(row),
        input_tokens=_count(_field_of(row, "input_tokens")),
        output_tokens=_count(_field_of(row, "output_tokens")),
        model=_text(_field_of(row, "model")),
        item=_item(_field_of(row, "item")),
        fence=None if fence is None else _count(fence),
    )


def _field_of(row: Mapping[str, Any], *names: str) -> Any:
    return next((row[name] for name in names if row.get(name) not in (None, "")), None)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _item(value: Any) -> str | None:
    # As the header carried it: whatever is no visible ASCII is percent-encoded.
    return None if value is None else unquote(str(value))


def _day(value: Any) -> date:
    if value is None:
        raise ValueError("it has no date")
    if (seconds := _number(value)) is not None:
        try:
            return datetime.fromtimestamp(float(seconds), UTC).date()
        except (OverflowError, OSError, ValueError):
            raise ValueError(f"{value!r} is not a time in epoch seconds") from None
    try:
        at = datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError(f"{value!r} is not a date like 2026-11-20") from None
    return (at.astimezone(UTC) if at.tzinfo else at).date()


def _cost(row: Mapping[str, Any]) -> int:
    nano, dollars = _field_of(row, "cost_nanousd"), _field_of(row, "cost")
    if nano is not None:
        return _count(nano)
    if dollars is None:
        raise ValueError("it has no cost and no cost_nanousd")
    amount = _number(str(dollars).strip().removeprefix("$"))
    if amount is None or not 0 <= amount <= MOST // NANO_PER_USD:
        raise ValueError(f"{dollars!r} is not an amount of dollars")
    # A provider may print more digits than it bills.
    return round(amount * NANO_PER_USD)


def _count(value: Any) -> int:
    if value is None:
        return 0
    number = _number(value)
    if number is None or not 0 <= number <= MOST or number != int(number):
        raise ValueError(f"{value!r} is not a whole number")
    return int(number)


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
