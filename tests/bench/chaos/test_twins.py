"""A twin that takes out nothing would show that the checker misses something."""

from collections.abc import Iterator
from unittest.mock import patch

import pytest

from bench.chaos.twins import TWINS
from bench.controls import GUARDS


@pytest.fixture(autouse=True)
def whole_again() -> Iterator[None]:
    yield
    patch.stopall()


@pytest.mark.parametrize("guard", TWINS)
def test_what_a_twin_takes_out_is_there(guard: str) -> None:
    TWINS[guard]()


def test_every_control_has_its_twin() -> None:
    assert GUARDS.keys() - {"bare"} == TWINS.keys()
