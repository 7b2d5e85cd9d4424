"""What a process has of its installation: made when it is asked for, and anew in a child."""

from typing import Any

import pytest
from celery import Celery

from tierqueue.router.errors import Misconfigured
from tierqueue.tasks.app import TierqueueApp
from tierqueue.tasks.installation import Installation


@pytest.fixture
def installation(monkeypatch: pytest.MonkeyPatch, sqlite_url: str) -> Installation:
    """Of a ledger and no broker."""
    monkeypatch.setenv("TIERQUEUE_LEDGER_URL", sqlite_url)
    return Installation(Celery("test", set_as_current=False))


def test_nothing_is_read_or_opened_before_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIERQUEUE_LEASE", "not a number")
    installation = Installation(Celery("test", set_as_current=False))
    installation.close()
    with pytest.raises(Misconfigured, match="TIERQUEUE_LEASE"):
        _ = installation.settings


def test_without_a_url_there_is_no_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIERQUEUE_LEDGER_URL", raising=False)
    with pytest.raises(Misconfigured, match="TIERQUEUE_LEDGER_URL is not set"):
        _ = Installation(Celery("test", set_as_current=False)).ledger


def test_a_child_keeps_the_settings_and_opens_a_ledger_of_its_own(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.idle_writes_seconds = 7.0
    before = (installation.settings, installation.ledger)
    monkeypatch.setenv("TIERQUEUE_LEDGER_URL", "sqlite:///elsewhere.db")
    child = installation.after_fork()
    try:
        assert child.settings is before[0]
        assert child.ledger is not before[1]
        assert child.ledger.now() > 0
        assert child.idle_writes_seconds == 7.0
    finally:
        installation.close()
        child.close()


def test_a_fork_of_the_application_leaves_its_connections_to_the_parent(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    app: Any = TierqueueApp("test", set_as_current=False)
    app.installation = installation
    app._forget()
    assert app.installation is not installation
    assert "ledger" not in vars(app.installation)
