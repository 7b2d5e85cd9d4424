"""The routing stage's worker with its intake alone: nothing here routes or answers an item.

Both messages of ours that are no items are read as their own workers read them.
"""

import tierqueue.tasks.kinds  # noqa: F401
from tierqueue.tasks.app import app
from tierqueue.tasks.broker import names


@app.task(name=names.WAKE, Strategy=names.AT_ONCE)  # type: ignore[untyped-decorator]
def wake(*_: object, **__: object) -> None:
    """Nobody looks: the test plays the routing stage."""


@app.task(name=names.SLICE, Request=names.REQUEST, ignore_result=True)  # type: ignore[untyped-decorator]
def work(*_: object, **__: object) -> None:
    """Nobody claims: the test plays the tier's worker."""
