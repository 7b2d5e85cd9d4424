"""What no provider would take is refused at the call, or where the task type is declared."""

from typing import Any

import pytest

from tierqueue.router.errors import InvalidItem
from tierqueue.tasks import Prompt, complete, item_task


@pytest.mark.parametrize("prompt", [" ", "\n\t ", "\u2003"])
def test_a_prompt_of_blanks_is_refused_at_the_call(prompt: str) -> None:
    with pytest.raises(InvalidItem, match="the prompt is empty"):
        complete.new_item((), {"prompt": prompt, "system": "Say something."}, item_id="i")


@pytest.mark.parametrize("limit", [0, -1, 1_000_001, 2.5, True, "64", None])
def test_a_task_type_states_an_output_limit_that_can_be_sent(limit: Any) -> None:
    with pytest.raises(InvalidItem, match="output_limit is from 1 to 1000000 tokens"):
        item_task("team.limited", output=None, output_limit=limit)(lambda: Prompt("", "", "hello"))


def test_a_teams_own_limit_is_held_to_the_same_range() -> None:
    @item_task("team.own_limit", output=None)
    def own(max_output_tokens: int) -> Prompt:
        return Prompt(system="", prefix="", question="hello")

    assert own.new_item((7,), {}, item_id="i").output_limit == 7
    for limit in (-5, 2_000_000):
        with pytest.raises(InvalidItem, match="whole number of tokens"):
            own.new_item((limit,), {}, item_id="i")
