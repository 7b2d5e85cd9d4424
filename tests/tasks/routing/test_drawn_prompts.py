"""A share of a task type's items is asked under another prompt, and counts as that alone."""

from typing import Any

import pytest
from sqlalchemy import select

from tests.ledger.claimed import an_item
from tests.ledger.placed import column, place
from tests.tasks.routing.gains import POLICY, TASK
from tests.workers.routing_stage.test_surrogates_at_work import stage_on
from tierqueue.ledger.lifecycle import claims
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import prompts
from tierqueue.router.errors import InvalidPolicy
from tierqueue.router.policy.defaults import prompt_version
from tierqueue.router.policy.policy import Policy, parse_policy
from tierqueue.tasks.routing.drawn_prompts import drawn

SYSTEM = "Answer as a clerk would."
VERSION = prompt_version(SYSTEM)


def policy(share: float = 1.0) -> Policy:
    text = POLICY.partition("[tasks.")[0]
    text += f'[tasks."{TASK}".prompt]\nsystem = "{SYSTEM}"\nshare = {share}\n'
    return parse_policy(text, "test")


def test_a_share_is_drawn_by_the_ids_alone() -> None:
    shared = policy(0.25)
    asked = [drawn(an_item(id=f"i-{n}", task=TASK), shared).prompt for n in range(2_000)]
    assert 400 < asked.count(VERSION) < 600
    assert asked.count(None) == 2_000 - asked.count(VERSION)
    read_again = policy(0.25)
    again = [drawn(an_item(id=f"i-{n}", task=TASK), read_again).prompt for n in range(2_000)]
    assert again == asked


def test_the_size_holds_the_instruction_too() -> None:
    item = an_item(task=TASK, prompt_bytes=50)
    assert drawn(item, policy()).prompt_bytes == 50 + len(SYSTEM)
    assert drawn(drawn(item, policy()), policy()) == drawn(item, policy())


@pytest.mark.parametrize(
    "stated",
    [
        {"task": "another"},
        {"fresh": True},
        {"pinned": "gpu"},
        {"prompt": "prompt-of-before"},
        {"policy": "of before"},
        {"calls": 1},
        {"fence": 1},
        {"refused_by": ["gpu"]},
    ],
    ids=str,
)
def test_others_stay_as_they_are(stated: dict[str, Any]) -> None:
    item = an_item(**{"task": TASK, **stated})
    assert drawn(item, policy()) == item


def test_what_is_drawn_is_routed_with_it_and_its_text_is_kept(ledger: Ledger) -> None:
    own = dict.fromkeys(("tier", "deployment", "budget", "bound", "token_bound", "policy"))
    item = place(ledger, "submitted", **{**own, "task": TASK, "arguments": {"prompt": "a"}})
    stage, _ = stage_on(ledger, policy())
    stage.start()
    stage.round()
    assert column(ledger, item, "prompt") == VERSION
    assert column(ledger, item, "route")["prompt"] == VERSION
    with ledger.read() as connection:
        assert connection.execute(select(prompts.c.system)).scalars().all() == [SYSTEM]
        assert claims.read(connection, [item])[item].system == SYSTEM


def test_a_policy_states_a_share_and_an_instruction() -> None:
    for wrong in ('system = ""\nshare = 0.5', 'system = "a"\nshare = 0', 'system = "a"'):
        with pytest.raises(InvalidPolicy, match=r"tasks\.t\.prompt"):
            parse_policy(f"[tasks.t.prompt]\n{wrong}\n", "test")
