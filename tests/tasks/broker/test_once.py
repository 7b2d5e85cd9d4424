"""Done once: who is first, who comes later, and what a failure leaves to others."""

from typing import Any

import pytest

from tests.tasks.producer import Producer
from tierqueue.tasks.broker.once import DOING_SECONDS, once

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def backend(producer: Producer) -> Any:
    """The result backend of a producer of its own."""
    return producer.app.backend


def test_what_is_being_done_is_nobody_elses_and_is_done_before_later(backend: Any) -> None:
    with once(backend, ["a", "b"], kept=300) as first:
        assert first == (["a", "b"], [])
        with once(backend, ["b", "c"], kept=300) as meanwhile:
            assert meanwhile == (["c"], [])
    with once(backend, ["a", "b", "c", "d"], kept=300) as later:
        assert later == (["d"], ["a", "b", "c"])


def test_what_failed_is_left_to_the_next_and_what_others_do_to_them(backend: Any) -> None:
    with once(backend, ["theirs"], kept=300):
        with (
            pytest.raises(RuntimeError, match="away"),
            once(backend, ["ours", "theirs"], kept=300),
        ):
            raise RuntimeError("away")
        with once(backend, ["ours", "theirs"], kept=300) as again:
            assert again == (["ours"], [])


@pytest.mark.parametrize(("kept", "lives"), [(300, 300), (0, -1), (None, -1)])
def test_a_marker_lives_while_its_process_does_and_then_as_long_as_a_result(
    backend: Any, kept: int | None, lives: int
) -> None:
    with once(backend, ["marker"], kept=kept):
        assert 10 <= backend.client.ttl("marker") <= DOING_SECONDS
    ttl = backend.client.ttl("marker")
    assert lives - 5 <= ttl <= lives
