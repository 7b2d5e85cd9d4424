"""The parts of a document in pieces: what each is of it, where it stands, and what it costs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tierqueue.operations.cli.output.printing import Column, table
from tierqueue.operations.cli.output.simulated import marked
from tierqueue.router.money import NanoUSD, format_usd
from tierqueue.tasks.plural import count

if TYPE_CHECKING:
    from tierqueue.ledger.records import DocumentPart
    from tierqueue.ledger.whole_item import WholeItem


def spent(parts: Sequence[DocumentPart]) -> NanoUSD:
    """What the calls of all parts have cost so far, in nano-dollars."""
    return NanoUSD(sum(part.spent for part in parts))


def line(
    item: WholeItem, parts: Sequence[DocumentPart], simulated: Collection[str] = ()
) -> str | None:
    """What an item has to do with a document in pieces, in a line; ``None``: nothing.

    ``simulated``: the ids of items whose money is.
    """
    if item.split is None:
        return None
    if item.part_of is not None:
        return f"of document {item.part_of}: {_pieces(item.split)}"
    if "spans" not in item.split:
        return f"a document, in pieces of {item.split['characters']:,} characters"
    calls = count(sum(part.calls for part in parts), "call")
    pieces = count(len(item.split["spans"]), "piece")
    whole = f"{marked(format_usd(spent(parts)), item.id in simulated)} spent on {calls}"
    return f"a document of {pieces}: {count(len(parts), 'item')}, {whole}"


def shown(item: WholeItem, parts: Sequence[DocumentPart]) -> list[dict[str, Any]]:
    """Each part for scripts: its pieces from one to before another, and characters of the text."""
    return [
        {
            "id": part.id,
            "task": part.task,
            "from": part.span[0],
            "to": part.span[1],
            **dict(zip(("start", "end"), _characters(item, part), strict=True)),
            **{name: getattr(part, name) for name in ("state", "reason", "tier", "calls", "spent")},
        }
        for part in parts
    ]


def print_parts(item: WholeItem, parts: Sequence[DocumentPart], simulated: Collection[str]) -> None:
    """A line a part, what joins behind what it joins; ``simulated`` are ids of items."""
    table(
        [
            Column("part", rank=0),
            Column("characters", rank=2),
            "state",
            Column("reason", rank=1, long=True),
            Column("tier", rank=4),
            Column("cost", right=True),
            Column("calls", right=True, rank=5),
            Column("item", rank=3),
        ],
        [
            (
                _pieces(part.split),
                "{:,} to {:,}".format(*_characters(item, part)),
                part.state,
                part.reason,
                part.tier,
                marked(format_usd(part.spent), part.id in simulated),
                part.calls,
                part.id,
            )
            for part in parts
        ],
        empty="it has no parts yet",
    )


def _pieces(split: Mapping[str, int]) -> str:
    first, last = split["from"] + 1, split["to"]
    return f"piece {last}" if first == last else f"joins {first} to {last}"


def _characters(item: WholeItem, part: DocumentPart) -> tuple[int, int]:
    assert item.split is not None
    spans = item.split["spans"]
    return spans[part.split["from"]][0], spans[part.split["to"] - 1][1]
