"""The logs of long-running processes: where something was raised, and nothing of a payload."""

import io
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
import structlog
from pydantic import BaseModel

from tierqueue.router.errors import Misconfigured
from tierqueue.tasks import logs

SECRET = "SSN 078-05-1120"


class Form(BaseModel):
    number: int


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, logs_put_back: None) -> Callable[[], dict[str, Any]]:
    """The last line in the form that a worker gives its logs."""
    stream = io.StringIO()
    owner = logging.getLogger("tests.logs")
    monkeypatch.setattr(owner, "handlers", [logging.StreamHandler(stream)])
    logs.configure()
    logs._take_over(owner)
    return lambda: dict(json.loads(stream.getvalue().splitlines()[-1]))


def raise_and_log(raising: Callable[[], object]) -> None:
    try:
        raising()
    except Exception:
        structlog.get_logger("tests.logs").exception("it_failed", item="i")
        logging.getLogger("tests.logs").exception("celery's own")


def refused() -> None:
    try:
        Form.model_validate({"number": SECRET})
    except ValueError as error:
        raise LookupError(SECRET) from error


def test_a_failure_is_told_by_its_types_and_places_without_what_it_quotes(
    told: Callable[[], dict[str, Any]],
) -> None:
    raise_and_log(refused)
    said = told()["exception"]
    lines = [line.partition(" ")[0] for line in said.splitlines() if ".py:" not in line]
    assert lines == ["ValidationError", "LookupError"]
    assert "test_logs.py:" in said
    assert "refused" in said
    assert "078" not in json.dumps(told())


def test_what_a_setting_or_the_machine_says_is_told_in_full(
    told: Callable[[], dict[str, Any]],
) -> None:
    def missing() -> None:
        raise Misconfigured("set the environment variable KEY")

    def unreachable() -> None:
        raise ConnectionRefusedError(111, "Connection refused")

    raise_and_log(missing)
    assert told()["exception"].endswith("Misconfigured: set the environment variable KEY")
    raise_and_log(unreachable)
    assert told()["exception"].endswith("Connection refused")
