"""The routing stage's worker with its intake alone: nothing here routes or answers an item."""

import tierqueue.tasks.kinds  # noqa: F401
from tierqueue.tasks.app import app
from tierqueue.tasks.broker import names


@app.task(name=names.WAKE, Strategy=names.AT_ONCE)  # type: ignore[untyped-decorator]
def wake(*_: object, **__: object) -> None:
    """Nobody looks: the test plays the routing stage."""
