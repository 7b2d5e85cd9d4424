"""What is known of an item before it runs."""

import pytest

from tierqueue.router.item import Demands, WorkItem
from tierqueue.router.signals import TOKENS_PER_MESSAGE, TOKENS_PER_REQUEST, Signals, measure


@pytest.mark.parametrize("text", ["", "hello", "naïve ☃", "😀 emoji \u202e", "\x00\n" * 50])
def test_the_input_bound_covers_one_token_a_byte_and_the_template(text: str) -> None:
    size = len(text.encode())
    item = WorkItem(
        id="i", task="t", demands=Demands(), prompt_bytes=size, messages=3, output_limit=7
    )
    assert measure(item, {}) == Signals(size + 3 * TOKENS_PER_MESSAGE + TOKENS_PER_REQUEST, 7)


def test_a_counted_prompt_is_bounded_by_its_tokens_and_the_template_at_that_deployment_alone() -> (
    None
):
    item = WorkItem(
        id="i", task="t", demands=Demands(), prompt_bytes=900, messages=3, output_limit=7
    )
    overhead = 3 * TOKENS_PER_MESSAGE + TOKENS_PER_REQUEST
    assert measure(item, {"house": 200}) == Signals(900 + overhead, 7, {"house": 200 + overhead})
