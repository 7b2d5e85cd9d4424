"""Input is counted by the tokenizer that a deployment states, whole, and else by bytes."""

import json
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tokenizers import Tokenizer, models

import tierqueue.tasks.kinds  # noqa: F401 - declares the task types whose prompts are counted
from tests.tasks.routing.tokenizer import MARK, write_tokenizer
from tierqueue.router.errors import Misconfigured
from tierqueue.router.policy.policy import Policy, parse_policy
from tierqueue.tasks.routing.token_counter import TokenCounter
from tierqueue.tasks.submission.item_task import ItemTask

TEXT = "where is my card? " * 40


def policy(**tokenizers: str) -> Policy:
    """One own engine and one API, with the tokenizers stated."""
    text = ""
    for name, engine, key in (("house", "vllm", ""), ("api", "openai", 'key_env = "KEY"\n')):
        text += f'[deployments.{name}]\ntier = "gpu"\nengine = "{engine}"\nmodel = "m"\n{key}'
        text += (
            'boundary = "house"\ncontext_window = 4096\nprices = { input = "1", output = "1" }\n'
        )
        if name in tokenizers:
            text += f"tokenizer = {json.dumps(tokenizers[name])}\n"
    return parse_policy(text, "test")


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(write_tokenizer(tmp_path / "tokenizer.json", TEXT))


def test_nothing_is_counted_where_no_deployment_states_a_tokenizer() -> None:
    counter = TokenCounter(policy())
    assert not counter
    assert counter.count("tierqueue.complete", {"prompt": TEXT}) == {}


def test_a_prompt_is_counted_whole_whatever_the_file_says_of_cutting_and_filling(path: str) -> None:
    counter = TokenCounter(policy(house=path))
    assert counter
    arguments = {"prompt": TEXT, "system": ""}
    size = ItemTask.declared["tierqueue.complete"].prompt(arguments).size
    (once,) = counter.count("tierqueue.complete", arguments).values()
    (twice,) = counter.count("tierqueue.complete", {**arguments, "prompt": 2 * TEXT}).values()
    assert 8 < once < size / 2
    assert once < twice <= 2 * once
    (short,) = counter.count("tierqueue.complete", {**arguments, "prompt": "a"}).values()
    assert short < 8


def test_a_templates_mark_inside_a_text_is_counted_as_the_text_it_is(path: str) -> None:
    counter = TokenCounter(policy(house=path))
    (tokens,) = counter.count("tierqueue.complete", {"prompt": MARK}).values()
    assert tokens > 1


def test_a_schema_is_counted_where_the_engine_sends_it(path: str) -> None:
    arguments = {"text": TEXT, "labels": ["card", "login"]}
    counted = TokenCounter(policy(house=path, api=path)).count("tierqueue.classify", arguments)
    assert counted["api"] > counted["house"]
    alone = TokenCounter(policy(api=path)).count("tierqueue.classify", arguments)
    assert alone == {"api": counted["api"]}


def test_an_unknown_task_type_is_left_to_the_bound_by_bytes(path: str) -> None:
    assert TokenCounter(policy(house=path)).count("team.unknown", {"prompt": TEXT}) == {}


def test_a_text_that_its_tokenizer_refuses_is_left_to_the_bound_by_bytes(tmp_path: Path) -> None:
    knows_nothing = Tokenizer(models.WordLevel({"a": 0}, unk_token="[UNK]"))
    knows_nothing.save(str(tmp_path / "words.json"))
    counter = TokenCounter(policy(house=str(tmp_path / "words.json")))
    with capture_logs() as logs:
        assert counter.count("tierqueue.complete", {"prompt": TEXT}) == {}
    assert [line["event"] for line in logs] == ["not_counted"]
    assert TEXT not in str(logs)


@pytest.mark.parametrize("content", [None, "", "{}", "not json"])
def test_a_tokenizer_that_cannot_be_read_is_refused_with_its_deployment_and_path(
    tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "broken.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(Misconfigured, match=f"deployment house .*{path}"):
        TokenCounter(policy(house=str(path)))
