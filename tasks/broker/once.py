"""Done once: markers at the broker say what is being done by one process, or was done."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

_DONE = b"sent"

DOING_SECONDS = 15
"""How long one process may take before another may try: far longer than what is done takes."""


class Marks(NamedTuple):
    """Of some keys: those marked here and now as being done, and those that were done before."""

    ours: list[str]
    before: list[str]


@contextmanager
def once(backend: Any, keys: Sequence[str], *, kept: int | None) -> Iterator[Marks]:
    """Mark what nobody does or did as being done; as done, once the block has ended.

    A block that raises leaves it to others at once, a process that dies after ``DOING_SECONDS``.
    What is done is remembered for ``kept`` seconds (``None`` or 0: as long as the broker
    remembers), and by the broker alone. Raises the broker's own errors.
    """
    client = backend.client
    with client.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.set(key, "sending", nx=True, ex=DOING_SECONDS)
        pipe.mget(keys)
        *first, states = pipe.execute()
    marked = Marks(
        [key for key, mine in zip(keys, first, strict=True) if mine],
        [key for key, state in zip(keys, states, strict=True) if state == _DONE],
    )
    try:
        yield marked
    except BaseException:
        if marked.ours:
            client.delete(*marked.ours)
        raise
    with client.pipeline(transaction=False) as pipe:
        for key in marked.ours:
            pipe.set(key, _DONE, ex=kept or None)
        pipe.execute()
