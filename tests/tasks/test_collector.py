"""The garbage collector of our processes: what is loaded is left alone, and cycles still go."""

import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator

import pytest

from tierqueue.tasks import collector


@pytest.fixture
def as_before() -> Iterator[None]:
    usual = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*usual)


class Knot:
    """One end of a cycle."""

    def __init__(self) -> None:
        self.itself = self


@pytest.mark.usefixtures("as_before")
def test_what_is_loaded_is_left_alone_and_what_comes_later_in_cycles_still_goes() -> None:
    collector.only_at_what_is_new()
    assert gc.get_freeze_count() > 0
    seen = weakref.ref(Knot())
    kept: list[list[int]] = []
    while seen() is not None:
        kept.append([len(kept)])
        assert len(kept) <= 2 * collector.YOUNG, "it looks after so many objects at the latest"


@pytest.mark.processes
def test_a_command_ends_without_a_last_look_at_all_that_it_loaded() -> None:
    command = (
        "import atexit, gc; from tierqueue.operations.cli import main;"
        "atexit.register(lambda: print('left alone', gc.get_freeze_count()));"
        "main(['--help'])"
    )
    said = subprocess.run([sys.executable, "-c", command], capture_output=True, check=True).stdout
    assert int(said.rpartition(b"left alone ")[2]) > 0
