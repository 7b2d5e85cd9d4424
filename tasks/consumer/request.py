"""A call by name as the worker sees it, without what it says."""

from typing import Any

from celery.worker.request import Request

HIDDEN = "(hidden)"
"""In place of arguments, wherever Celery would print them; empty would make it look again."""


class NamedRequest(Request):  # type: ignore[misc]  # celery ships no types
    """Bears its task's name wherever Celery prints one, and not what its sender calls it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.name = self._type
        # Whoever runs it prints this in place of the name.
        self._request_dict.update(shadow=None)


class ItemRequest(NamedRequest):
    """Blanks the arguments before events and logs, and leaves times to the ledger.

    The worker neither holds back a message with a countdown nor drops one that expired: the item's
    ``not_before`` and deadline say the same, and survive the worker.
    """

    def __init__(self, message: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(message, *args, **kwargs)
        self._argsrepr = self._kwargsrepr = HIDDEN
        self._request_dict.update(argsrepr=HIDDEN, kwargsrepr=HIDDEN)
        self._eta = self._expires = None

    def info(self, safe: bool = False) -> dict[str, Any]:  # noqa: ARG002 - never otherwise
        """What ``inspect active`` and Flower show of it."""
        shown: dict[str, Any] = super().info(safe=True)
        return shown
