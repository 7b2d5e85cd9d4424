"""Slices: a message names 1..K items of one deployment, those sharing a prefix side by side."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from tierqueue.ledger.lifecycle.flows import is_urgent
from tierqueue.ledger.records import Fence, ReadyItem
from tierqueue.router.errors import Undecodable
from tierqueue.tasks.bounded_values import INT4, storable

URGENT_ITEMS = 8
"""Most items of a slice that somebody waits for: it is claimed as a whole."""


class SliceItem(NamedTuple):
    """One item of a slice: what a worker must know of it to ask the limiter and to claim it."""

    id: str
    """The item's."""
    fence: Fence
    """Its last claim's, when the slice was sent."""
    token_bound: int
    """Tokens that its call takes at most."""
    output_limit: int = 0
    """Output tokens that its task type asks for at most; 0 where an older routing stage sent it."""
    task: str = ""
    """The name of its task type; empty where an older routing stage sent it."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Items of one deployment, by their ids; ``urgent``: somebody waits for each of them."""

    deployment: str
    items: dict[str, SliceItem]
    urgent: bool = False

    def to_json(self) -> dict[str, Any]:
        """The message: ids and numbers, never a payload."""
        message = {
            "deployment": self.deployment,
            "items": [list(item) for item in self.items.values()],
        }
        return {**message, "urgent": True} if self.urgent else message

    @classmethod
    def read(cls, message: dict[str, Any]) -> Self:
        """The slice of a message; raises ``Undecodable`` for anything else.

        What a newer routing stage says beyond that is left alone.
        """
        try:
            items = [_item(stated) for stated in message["items"]]
            named = {item.id: item for item in items}
            return cls(_name(message["deployment"]), named, message.get("urgent") is True)
        except (KeyError, TypeError, ValueError):
            raise Undecodable("is not a slice") from None


def _item(stated: Any) -> SliceItem:
    item_id, fence, tokens, *more = stated
    output, task = more[0] if more else 0, _name(more[1]) if more[1:] else ""
    for number in (fence, tokens, output):
        if type(number) is not int or not 0 <= number < INT4:
            raise ValueError("no number of ours")
    return SliceItem(_name(item_id), Fence(fence), tokens, output, task)


def _name(said: Any) -> str:
    if not isinstance(said, str) or not 0 < len(said) <= 255:
        raise ValueError("no name of ours")
    return storable(said)


def cut(ready: Iterable[ReadyItem], most: int) -> Iterator[Slice]:
    """Cut items, those that go first in front, into slices of at most ``most``.

    Items that share a prefix stand side by side, the longest first, and a prefix with enough items
    fills slices of its own, so that an engine's prompt cache can serve them; what is left over
    shares slices. Items keep their turn from slice to slice. What somebody waits for is in small
    slices of its own, which come first.
    """
    usual: list[ReadyItem] = []
    urgent: list[ReadyItem] = []
    for item in ready:
        (urgent if is_urgent(item.flow) else usual).append(item)
    for deployment, items in _cut(urgent, min(most, URGENT_ITEMS)):
        yield _slice(deployment, items, urgent=True)
    for deployment, items in _cut(usual, most):
        yield _slice(deployment, items, urgent=False)


def _cut(ready: Iterable[ReadyItem], most: int) -> list[tuple[str, list[ReadyItem]]]:
    place: dict[str, int] = {}
    deployments: dict[str, dict[str, list[ReadyItem]]] = {}
    for item in ready:
        place[item.id] = len(place)
        deployments.setdefault(item.deployment, {}).setdefault(item.prefix, []).append(item)
    slices: list[tuple[str, list[ReadyItem]]] = []
    for deployment, prefixes in deployments.items():
        rest: list[ReadyItem] = []
        for sharing in prefixes.values():
            whole = len(sharing) - len(sharing) % most
            slices += [(deployment, _sorted(part)) for part in _parts(sharing[:whole], most)]
            rest += _sorted(sharing[whole:])
        slices += [(deployment, part) for part in _parts(rest, most)]
    slices.sort(key=lambda cut_off: min(place[item.id] for item in cut_off[1]))
    return slices


def _sorted(sharing: list[ReadyItem]) -> list[ReadyItem]:
    return sorted(sharing, key=lambda item: -item.token_bound)


def _parts(items: list[ReadyItem], most: int) -> list[list[ReadyItem]]:
    return [items[start : start + most] for start in range(0, len(items), most)]


def _slice(deployment: str, ready: list[ReadyItem], *, urgent: bool) -> Slice:
    items = [
        SliceItem(item.id, item.fence, item.token_bound, item.output_limit, item.task)
        for item in ready
    ]
    return Slice(deployment, {item.id: item for item in items}, urgent)
