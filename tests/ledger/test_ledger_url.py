"""A ledger that cannot be where its URL says is refused in one sentence that says why."""

import os
from pathlib import Path

import pytest

from tierqueue.ledger.session import Ledger
from tierqueue.router.errors import Misconfigured


def _refused(url: str) -> str:
    with pytest.raises(Misconfigured) as refused:
        Ledger(url)
    return refused.value.message


def test_a_path_that_cannot_hold_a_ledger_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "tickets.csv"
    other.write_text("text\na ticket that is long enough to be no header\n")
    assert "there is no folder" in _refused(f"sqlite:///{tmp_path}/missing/ledger.db")
    assert "it is a folder" in _refused(f"sqlite:///{tmp_path}")
    assert "no SQLite database" in _refused(f"sqlite:///{other}")
    assert "no regular file" in _refused("sqlite:////dev/null")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_a_path_that_this_user_may_not_write_is_refused(tmp_path: Path) -> None:
    locked = tmp_path / "locked.db"
    locked.touch(mode=0o400)
    assert "may not read and write" in _refused(f"sqlite:///{locked}")
    tmp_path.chmod(0o500)
    try:
        assert "may not write in its folder" in _refused(f"sqlite:///{tmp_path}/ledger.db")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    "url",
    [
        "ledger.db",
        "mysql://host/name",
        "sqlite://",
        "postgresql://host:port/name",
        "postgresql+nothing://host/name",
        "sqlite+nothing:///ledger.db",
    ],
)
def test_a_url_that_names_no_database_of_ours_is_refused(url: str) -> None:
    assert "TIERQUEUE_LEDGER_URL" in _refused(url)


def test_an_empty_file_and_a_new_one_are_ledgers_to_be(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    for name in ("empty.db", "new.db"):
        Ledger(f"sqlite:///{tmp_path}/{name}").close()
