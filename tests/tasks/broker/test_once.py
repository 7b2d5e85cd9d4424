"""Done once: who is first, who comes later, and what a failure leaves to others."""

from typing import Any

import pytest

from tests.tasks.producer import Producer
from tierqueue.tasks.broker.once import once

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def client(producer: Producer) -> Any:
    """The broker of a producer of its own."""
    return producer.app.backend.client


def test_what_is_being_done_is_nobody_elses_and_is_done_before_later(client: Any) -> None:
    with once(client, ["a", "b"], seconds=60, kept=300) as first:
        assert first == (["a", "b"], [])
        with once(client, ["b", "c"], seconds=60, kept=300) as meanwhile:
            assert meanwhile == (["c"], [])
    with once(client, ["a", "b", "c", "d"], seconds=60, kept=300) as later:
        assert later == (["d"], ["a", "b", "c"])


def test_what_failed_is_left_to_the_next_and_what_others_do_to_them(client: Any) -> None:
    with once(client, ["theirs"], seconds=60, kept=300):
        with (
            pytest.raises(RuntimeError, match="away"),
            once(client, ["ours", "theirs"], seconds=60, kept=300),
        ):
            raise RuntimeError("away")
        with once(client, ["ours", "theirs"], seconds=60, kept=300) as again:
            assert again == (["ours"], [])


@pytest.mark.parametrize(("kept", "lives"), [(300, 300), (0, -1), (None, -1)])
def test_a_marker_lives_while_its_process_does_and_then_as_long_as_a_result(
    client: Any, kept: int | None, lives: int
) -> None:
    with once(client, ["marker"], seconds=60, kept=kept):
        assert 55 <= client.ttl("marker") <= 60
    ttl = client.ttl("marker")
    assert lives - 5 <= ttl <= lives
