"""A provider's export beside the books: the drift of each day, and what unknown charges were."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from tierqueue.ledger.accounting.reconciliation import Call, DailyCharge, Resolution, UnknownCharge
from tierqueue.operations.accounting.usage_export import UsageRow
from tierqueue.router.served_model import same_model


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One day's money in nano-dollars: in the books, of it booked as unknown and now resolved to
    ``corrected`` more, and in the export.
    """

    day: date
    booked: int
    unknown: int
    corrected: int
    billed: int

    @property
    def drift(self) -> int:
        """How far the books are above the export once what is resolved is corrected."""
        return self.booked + self.corrected - self.billed


@dataclass(frozen=True, slots=True)
class UnresolvedCharge:
    """An unknown charge that the export does not settle, and why."""

    charge: UnknownCharge
    why: str


def of_model(rows: Sequence[UsageRow], model: str) -> list[UsageRow]:
    """The rows of one model, and those that name none."""
    return [row for row in rows if row.model is None or same_model(model, row.model)]


def resolve(
    rows: Sequence[UsageRow],
    unknown: Sequence[UnknownCharge],
    fences: Mapping[str, Sequence[int]],
) -> tuple[list[Resolution], list[UnresolvedCharge]]:
    """Match unknown charges to the rows of their very calls.

    A row that names an item and no fence is taken where the item was called once (``fences``: of
    every attempt, by item). A charge without a row stays unknown: that an export does not show a
    call does not prove that it was never billed.
    """
    calls: dict[Call, list[UsageRow]] = {}
    ambiguous = set()
    for row in rows:
        if row.item is None:
            continue
        of_item = fences.get(row.item, ())
        if row.fence is not None:
            calls.setdefault((row.item, row.fence), []).append(row)
        elif len(of_item) == 1:
            calls.setdefault((row.item, of_item[0]), []).append(row)
        else:
            ambiguous.add(row.item)
    resolved: list[Resolution] = []
    unresolved: list[UnresolvedCharge] = []
    for charge in unknown:
        if found := calls.get(charge.call):
            resolved.append(
                Resolution(
                    charge=charge,
                    cost=sum(row.cost for row in found),
                    input_tokens=sum(row.input_tokens for row in found),
                    output_tokens=sum(row.output_tokens for row in found),
                )
            )
        elif charge.call[0] in ambiguous:
            why = "the export names its item, called more than once, and no fence"
            unresolved.append(UnresolvedCharge(charge, why))
        else:
            unresolved.append(UnresolvedCharge(charge, "the export has no row of its call"))
    return resolved, unresolved


def days(
    rows: Sequence[UsageRow], booked: Mapping[date, DailyCharge], resolved: Sequence[Resolution]
) -> list[Day]:
    """Every day of the export or the books, the earliest first."""
    billed: dict[date, int] = {}
    for row in rows:
        billed[row.day] = billed.get(row.day, 0) + row.cost
    corrected: dict[date, int] = {}
    for resolution in resolved:
        day = resolution.charge.day
        corrected[day] = corrected.get(day, 0) + resolution.cost - resolution.charge.cost
    nothing = DailyCharge(0, 0, 0)
    return [
        Day(
            day=day,
            booked=booked.get(day, nothing).cost,
            unknown=booked.get(day, nothing).unknown,
            corrected=corrected.get(day, 0),
            billed=billed.get(day, 0),
        )
        for day in sorted(billed.keys() | booked.keys())
    ]
