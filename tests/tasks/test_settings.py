"""Where a process finds what it needs: its policy file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tierqueue.operations.cli.input.policies import read_policy
from tierqueue.router.errors import InvalidPolicy
from tierqueue.router.policy.policy import Policy
from tierqueue.tasks.settings import read_settings


def by_a_setting(path: Path) -> Policy:
    return read_settings({"TIERQUEUE_POLICY": str(path)}).read_policy()


def by_a_command(path: Path) -> Policy:
    return read_policy(str(path))[0]


EITHER_WAY = pytest.mark.parametrize("read", [by_a_setting, by_a_command])


@EITHER_WAY
def test_a_policy_that_is_not_there_is_named_with_the_setting_that_says_where(
    tmp_path: Path, read: Callable[[Path], Policy]
) -> None:
    path = tmp_path / "gone.toml"
    with pytest.raises(InvalidPolicy) as caught:
        read(path)
    why = "No such file or directory. TIERQUEUE_POLICY says which file it is"
    assert caught.value.message == f"cannot read the policy {path}: {why}"


@EITHER_WAY
def test_a_policy_that_is_not_utf_8_is_named(
    tmp_path: Path, read: Callable[[Path], Policy]
) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes(b"# caf\xe9")
    with pytest.raises(InvalidPolicy) as caught:
        read(path)
    assert caught.value.message == f"{path} is not UTF-8 text"
