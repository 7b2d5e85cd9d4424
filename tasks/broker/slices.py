"""Slices: a message names 1..K items of one deployment, those sharing a prefix side by side."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from tierqueue.ledger.lifecycle.routes import Ready
from tierqueue.ledger.records import Fence
from tierqueue.router.errors import Undecodable
from tierqueue.tasks.outside import INT4, storable


class SliceItem(NamedTuple):
    """One item of a slice: what a worker must know of it to ask the limiter and to claim it."""

    id: str
    """The item's."""
    fence: Fence
    """Its last claim's, when the slice was sent."""
    token_bound: int
    """Tokens that its call takes at most."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Items of one deployment, by their ids."""

    deployment: str
    items: dict[str, SliceItem]

    def to_json(self) -> dict[str, Any]:
        """The message: ids and numbers, never a payload."""
        return {
            "deployment": self.deployment,
            "items": [[item.id, item.fence, item.token_bound] for item in self.items.values()],
        }

    @classmethod
    def read(cls, message: dict[str, Any]) -> Self:
        """The slice of a message; raises ``Undecodable`` for anything else.

        What a newer routing stage says beyond that is left alone.
        """
        try:
            items = [_stated(stated) for stated in message["items"]]
            return cls(_name(message["deployment"]), {item.id: item for item in items})
        except (KeyError, TypeError, ValueError):
            raise Undecodable("is not a slice") from None


def _stated(stated: Any) -> SliceItem:
    item_id, fence, tokens, *_ = stated
    for number in (fence, tokens):
        if type(number) is not int or not 0 <= number < INT4:
            raise ValueError("no number of ours")
    return SliceItem(_name(item_id), Fence(fence), tokens)


def _name(said: Any) -> str:
    if not isinstance(said, str) or not 0 < len(said) <= 255:
        raise ValueError("no name of ours")
    return storable(said)


def cut(ready: Iterable[Ready], most: int) -> Iterator[Slice]:
    """Cut items, the most urgent first, into slices of at most ``most``.

    Items that share a prefix stand side by side, the longest first, and a prefix with enough items
    fills slices of its own, so that an engine's prompt cache can serve them; what is left over
    shares slices. The slice with the most urgent item comes first.
    """
    place: dict[str, int] = {}
    deployments: dict[str, dict[str, list[Ready]]] = {}
    for item in ready:
        place[item.id] = len(place)
        deployments.setdefault(item.deployment, {}).setdefault(item.prefix, []).append(item)
    slices: list[tuple[str, list[Ready]]] = []
    for deployment, prefixes in deployments.items():
        rest: list[Ready] = []
        for sharing in prefixes.values():
            whole = len(sharing) - len(sharing) % most
            longest_first = sorted(sharing, key=lambda item: -item.token_bound)
            slices += [(deployment, part) for part in _parts(longest_first[:whole], most)]
            rest += longest_first[whole:]
        slices += [(deployment, part) for part in _parts(rest, most)]
    slices.sort(key=lambda cut_off: min(place[item.id] for item in cut_off[1]))
    for deployment, items in slices:
        yield _slice(deployment, items)


def _parts(items: list[Ready], most: int) -> list[list[Ready]]:
    return [items[start : start + most] for start in range(0, len(items), most)]


def _slice(deployment: str, ready: list[Ready]) -> Slice:
    items = [SliceItem(item.id, item.fence, item.token_bound) for item in ready]
    return Slice(deployment, {item.id: item for item in items})
