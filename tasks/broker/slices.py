"""Slices: a message names 1..K items of one deployment, those sharing a prefix side by side."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Self

from tierqueue.ledger.lifecycle.routes import Ready
from tierqueue.router.errors import Undecodable
from tierqueue.tasks.outside import INT4, storable


@dataclass(frozen=True, slots=True)
class Slice:
    """``items``: id -> (fence as dispatched, most tokens the call may take)."""

    deployment: str
    items: dict[str, tuple[int, int]]

    def to_json(self) -> dict[str, Any]:
        """The message: ids and numbers, never a payload."""
        return {
            "deployment": self.deployment,
            "items": [[key, fence, tokens] for key, (fence, tokens) in self.items.items()],
        }

    @classmethod
    def read(cls, message: dict[str, Any]) -> Self:
        """The slice of a message; raises ``Undecodable`` for anything else.

        What a newer routing stage says beyond that is left alone.
        """
        try:
            items = dict(_stated(each) for each in message["items"])
            return cls(_name(message["deployment"]), items)
        except (KeyError, TypeError, ValueError):
            raise Undecodable("is not a slice") from None


def _stated(item: Any) -> tuple[str, tuple[int, int]]:
    key, fence, tokens, *_ = item
    for number in (fence, tokens):
        if type(number) is not int or not 0 <= number < INT4:
            raise ValueError("no number of ours")
    return _name(key), (fence, tokens)


def _name(said: Any) -> str:
    if not isinstance(said, str) or not 0 < len(said) <= 255:
        raise ValueError("no name of ours")
    return storable(said)


def cut(ready: Iterable[Ready], most: int) -> Iterator[Slice]:
    """Cut items into slices of at most ``most``.

    Items that share a prefix stand side by side, and a prefix with enough items fills slices of
    its own, so that an engine's prompt cache can serve them; what is left over shares slices.
    """
    by_deployment = sorted(ready, key=lambda each: (each.deployment, each.prefix))
    for deployment, group in groupby(by_deployment, key=lambda each: each.deployment):
        rest: list[Ready] = []
        for _, same in groupby(group, key=lambda each: each.prefix):
            sharing = list(same)
            while len(sharing) >= most:
                yield _slice(deployment, sharing[:most])
                sharing = sharing[most:]
            rest += sharing
        for start in range(0, len(rest), most):
            yield _slice(deployment, rest[start : start + most])


def _slice(deployment: str, ready: list[Ready]) -> Slice:
    return Slice(deployment, {each.id: (each.fence, each.token_bound) for each in ready})
