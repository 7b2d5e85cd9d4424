"""Whose turn it is to write: one at a time, and no turn is lost with whoever had it."""

import threading
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from tierqueue.ledger.sqlite.turns import Turns


def test_threads_write_one_after_the_other(tmp_path: Path) -> None:
    turns, inside, most = Turns(str(tmp_path / "turn")), [0], [0]

    def write() -> None:
        for _ in range(200):
            with turns:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                inside[0] -= 1

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    turns.close()
    assert most == [1]


@pytest.mark.parametrize("patience_seconds", [0.0, 0.05])
def test_a_turn_that_does_not_come_is_an_error_of_the_database(
    tmp_path: Path, patience_seconds: float
) -> None:
    # As two processes would: each has opened the file for itself.
    mine, other = Turns(str(tmp_path / "turn")), Turns(str(tmp_path / "turn"), patience_seconds)
    with mine, pytest.raises(OperationalError, match="the turn to write"), other:
        raise AssertionError("two have the turn")
    with other:
        pass
    mine.close()
    other.close()


def test_a_block_that_raises_ends_its_turn(tmp_path: Path) -> None:
    turns = Turns(str(tmp_path / "turn"), patience_seconds=0.0)
    with pytest.raises(ZeroDivisionError), turns:
        raise ZeroDivisionError
    with turns:
        pass
    turns.close()


def test_where_the_file_cannot_be_it_is_said_and_the_next_may_try(tmp_path: Path) -> None:
    turns = Turns(str(tmp_path / "gone" / "turn"))
    for _ in range(2):
        with pytest.raises(OperationalError, match="the turn to write"), turns:
            raise AssertionError("there is no file")
    (tmp_path / "gone").mkdir()
    with turns:
        pass
    turns.close()
