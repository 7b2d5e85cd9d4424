"""How a document is done in pieces, as it is stated."""

import pytest

from tierqueue.operations.cli.input.options import LEAST_CHARACTERS
from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.submission.pieces import Pieces


def test_a_piece_that_is_too_short_is_refused_with_the_least_it_may_have() -> None:
    with pytest.raises(InvalidItem, match=f"characters = 200: .*at least {LEAST_CHARACTERS}"):
        Pieces(200)
    assert Pieces(LEAST_CHARACTERS).characters == LEAST_CHARACTERS
