"""What is written down of replies, and who is told of another model."""

from typing import Any

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from tests.workers.test_caller import USAGE, deployment
from tierqueue.ledger.in_force import observations
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import observations as table
from tierqueue.router.outcome import Accepted, Completed, Outcome, Rejected, Throttled
from tierqueue.workers.alerts.observer import EVERY_US, Observer

NOW = 1_700_000_000_000_000


def accepted(served: str, *without: str) -> Outcome:
    done = Completed(text="", usage=USAGE, model_served=served, without=without)
    return Accepted(output={}, completed=done, prompt_version="1")


def rejected(served: str) -> Outcome:
    return Rejected(reasons=("no",), usage=USAGE, model_served=served)


@pytest.mark.parametrize("second", [accepted("m-2"), rejected("m-2")])
def test_another_model_is_told_to_the_hook_and_the_log_once(
    ledger: Ledger, second: Outcome
) -> None:
    told: list[Any] = []
    watching = [Observer(ledger, told.append) for _ in range(2)]
    where = deployment(model="m", name="best")
    with capture_logs() as logged:
        for one in watching:
            one.replies([(where, accepted("m-1")), (where, Throttled())], NOW)
        for one in watching:
            one.replies([(where, second)], NOW + 1)
    said = {"deployment": "best", "asked": "m", "before": "m-1", "served": "m-2"}
    assert told == [{"what": "served_model_changed", **said}]
    assert [line for line in logged if line["event"] == "served_model_changed"] == [
        {"event": "served_model_changed", "log_level": "warning", **said}
    ]


def test_the_same_reply_is_written_down_once_an_hour(ledger: Ledger) -> None:
    watching = Observer(ledger, lambda _: None)
    where = deployment(engine="openai", model="m", name="best", top_logprobs=5)
    for at in (NOW, NOW + 1, NOW + EVERY_US, NOW + EVERY_US + 1):
        watching.replies([(where, accepted("m-1", "logprobs"))], at)
        with ledger.read() as connection:
            seen_at = connection.execute(select(table)).first()
        assert seen_at is not None
        assert seen_at.seen_at == (NOW if at <= NOW + EVERY_US else at)
    with ledger.read() as connection:
        assert observations.silent(connection, {"best": where}, NOW + EVERY_US) == {"best"}


def test_what_cannot_be_written_down_is_said_and_stops_nothing(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("no such thing")

    watching, where = Observer(ledger, lambda _: None), deployment(model="m", name="best")
    with monkeypatch.context() as patched, capture_logs() as logged:
        patched.setattr(observations, "see", broken)
        watching.replies([(where, accepted("m-1"))], NOW)
    assert [line["event"] for line in logged] == ["replies_not_observed"]
    watching.replies([(where, accepted("m-1"))], NOW)
    with ledger.read() as connection:
        assert connection.execute(select(table.c.value)).scalar() == "m-1"
