"""Messages that are carried out where they arrive."""

from types import SimpleNamespace
from typing import Any

import pytest

from tierqueue.tasks.consumer.strategies import at_once

_CONSUMER = SimpleNamespace(connection_errors=(OSError,))


def test_it_is_carried_out_without_arguments_and_then_acknowledged() -> None:
    done: list[Any] = []
    carry_out = at_once(lambda: done.append("done"), None, _CONSUMER)
    carry_out("message", "body", lambda _, errors: done.append(errors), None, [])
    assert done == ["done", (OSError,)]


def test_what_could_not_be_carried_out_is_not_acknowledged() -> None:
    def fail() -> None:
        raise ValueError("not now")

    acknowledged: list[Any] = []
    with pytest.raises(ValueError, match="not now"):
        at_once(fail, None, _CONSUMER)(None, None, lambda *_: acknowledged.append(1), None, [])
    assert not acknowledged
