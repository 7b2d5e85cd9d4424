"""A host that takes less than OpenAI, and a model that thinks before it answers."""

import json
from pathlib import Path
from typing import Any

import openai
import pytest

from sandbox.failing.plan import read_plan

PLAN = """\
[[refuses]]
model = "open-small"
what = ["max_tokens", "json_schema", "system"]
status = 422

[[reasoning]]
model = "open-large"
tokens = 50
"""
FORMAT: Any = {
    "type": "json_schema",
    "json_schema": {
        "name": "answer",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"label": {"type": "string", "enum": ["a", "b"]}},
            "required": ["label"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture
def host(start: Any, tmp_path: Path) -> Any:
    path = tmp_path / "faults.toml"
    path.write_text(PLAN, encoding="utf-8")
    return start("--faults", str(path))


@pytest.mark.parametrize("more", [{"max_tokens": 9}, {"response_format": FORMAT}])
def test_a_host_refuses_what_its_plan_says_and_names_it(host: Any, more: Any) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        host.ask_openai("hello", **more)
    assert refused.value.code == "unsupported_parameter"
    assert host.lines()[-1]["status"] == 422
    assert host.lines()[-1]["cost_nanousd"] == 0


def test_a_host_takes_the_rest(host: Any) -> None:
    host.ask_openai("hello", max_completion_tokens=9)
    host.ask_openai("hello, in json", response_format={"type": "json_object"})
    host.ask_openai("hello", model="open-large", max_tokens=200, response_format=FORMAT)


def test_thoughts_are_billed_are_not_shown_and_use_up_the_limit(host: Any) -> None:
    whole = host.ask_openai("hello", model="open-large", max_tokens=200).parse()
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage.completion_tokens_details.reasoning_tokens == 50
    assert whole.usage.completion_tokens > 50
    for limit in (20, 50):
        cut = host.ask_openai("hello", model="open-large", max_tokens=limit).parse()
        assert (cut.choices[0].finish_reason, cut.choices[0].message.content) == ("length", "")
        assert cut.usage.completion_tokens == limit
    message = host.ask_anthropic("hello", model="open-large", max_tokens=60).parse()
    assert message.usage.output_tokens_details.thinking_tokens == 50
    assert message.stop_reason in ("end_turn", "max_tokens")


def test_a_schema_in_the_prompt_is_followed_as_a_model_would(provider: Any) -> None:
    schema = json.dumps(FORMAT["json_schema"]["schema"])
    turns: Any = [
        {"role": "system", "content": f"Answer with JSON that follows this JSON schema:\n{schema}"},
        {"role": "user", "content": "a letter"},
    ]
    for more in ({}, {"response_format": {"type": "json_object"}}):
        answer = provider.openai.chat.completions.create(model="open-small", messages=turns, **more)
        assert json.loads(answer.choices[0].message.content)["label"] in ("a", "b")


@pytest.mark.parametrize(
    "wrong",
    [
        '[[refuses]]\nmodel = "a"\nwhat = ["streams"]\n',
        '[[refuses]]\nmodel = "a"\nwhat = []\n',
        '[[refuses]]\nmodel = "a"\nwhat = ["system"]\nstatus = 500\n',
        '[[refuses]]\nwhat = ["system"]\n',
        '[[reasoning]]\nmodel = "a"\n',
        '[[reasoning]]\nmodel = "a"\ntokens = -1\n',
        '[[reasoning]]\nmodel = "a"\ntokens = 1\nmore = 2\n',
    ],
)
def test_a_row_that_is_not_understood_is_refused(wrong: str, tmp_path: Path) -> None:
    path = tmp_path / "faults.toml"
    path.write_text(wrong, encoding="utf-8")
    with pytest.raises(ValueError, match="faults file"):
        read_plan(path)


def test_more_output_than_any_model_gives_is_refused(provider: Any) -> None:
    with pytest.raises(openai.BadRequestError, match="most output tokens"):
        provider.ask_openai("hello", max_completion_tokens=128_001)
