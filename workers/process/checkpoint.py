"""Points at which a test may end the process."""

from collections.abc import Callable

Checkpoint = Callable[[str], None]
"""Called with the name of each point at which a test may end the process; else it does nothing."""


def never_ends(_: str) -> None:
    """The checkpoint of a process that nobody tests."""
