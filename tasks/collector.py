"""Python's garbage collector in a process that makes and drops many objects for each item."""

import atexit
import gc

YOUNG = 20_000
"""Objects that are made, less those that are gone again, before the collector looks."""


def rarely() -> None:
    """From now on the collector looks seldom.

    With Python's own figures it took a tenth of all that a worker or a submission did.
    """
    gc.set_threshold(YOUNG, 20, 50)


def only_at_what_is_new() -> None:
    """As ``rarely``, and never at what has been loaded until now."""
    gc.freeze()
    rarely()


def not_at_the_end() -> None:
    """As the process ends the collector looks at nothing: the memory is given back as a whole.

    That last look at all that was loaded took a quarter of what ``tierqueue status`` did.
    """
    atexit.unregister(gc.freeze)  # once, however often a process says so
    atexit.register(gc.freeze)
