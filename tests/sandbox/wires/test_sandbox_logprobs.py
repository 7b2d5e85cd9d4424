"""The sandbox's log-probabilities, as the real SDKs ask for and read them."""

import json
import math
from pathlib import Path
from typing import Any, Literal

import anthropic
import openai
import pytest
from pydantic import BaseModel

from tests.workers.engines.engine_calls import a_sandbox

TEXT = "I have lost my card"
TURNS: Any = [{"role": "user", "content": TEXT}]


LABELS = ("card_arrival", "lost_card", "refund")


class Ticket(BaseModel):
    label: Literal["card_arrival", "lost_card", "refund"]


def asked(provider: Any, **how: Any) -> Any:
    return provider.openai.chat.completions.parse(
        model="open-small", messages=TURNS, response_format=Ticket, **how
    )


def test_the_tokens_are_the_answers_and_each_has_as_many_alternatives_as_asked(
    provider: Any,
) -> None:
    (choice,) = asked(provider, logprobs=True, top_logprobs=5).choices
    tokens = choice.logprobs.content
    told = b"".join(bytes(token.bytes) for token in tokens)
    assert told.decode() == choice.message.content
    for token in tokens:
        assert len(token.top_logprobs) == 5
        assert token.top_logprobs[0].token == token.token
        assert sum(math.exp(other.logprob) for other in token.top_logprobs) <= 1
    parting = next(token for token in tokens if math.exp(token.logprob) < 0.998)
    own = json.loads(told)["label"]
    begin = told.index(bytes(parting.bytes))
    others = {told.replace(own.encode(), label.encode()) for label in LABELS if label != own}
    pieces = {other[begin : begin + len(parting.bytes)] for other in others}
    assert pieces <= {bytes(other.bytes) for other in parting.top_logprobs}


def test_they_come_only_when_asked_for(provider: Any) -> None:
    assert asked(provider).choices[0].logprobs is None
    (choice,) = asked(provider, logprobs=True).choices
    assert all(token.top_logprobs == [] for token in choice.logprobs.content)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"logprobs": True, "top_logprobs": 21}, "Expected a value <= 20, but got 21"),
        ({"logprobs": True, "top_logprobs": -1}, "Expected a value >= 0, but got -1"),
        ({"top_logprobs": 5}, "only allowed when 'logprobs' is enabled"),
        ({"logprobs": False, "top_logprobs": 5}, "only allowed when 'logprobs' is enabled"),
        ({"logprobs": 5}, "expected a boolean"),
        ({"logprobs": True, "top_logprobs": "5"}, "expected an integer"),
    ],
)
def test_what_openai_refuses_is_refused(provider: Any, how: dict[str, Any], said: str) -> None:
    with pytest.raises(openai.BadRequestError, match=said):
        asked(provider, **how)


def test_anthropics_api_has_none(provider: Any) -> None:
    with pytest.raises(anthropic.BadRequestError, match="logprobs"):
        provider.anthropic.messages.create(
            model="frontier-large", max_tokens=20, messages=TURNS, extra_body={"logprobs": True}
        )


@pytest.mark.processes
def test_a_model_that_thinks_refuses_them_and_so_does_a_host_that_lacks_them(
    tmp_path: Path,
) -> None:
    faults = tmp_path / "faults.toml"
    faults.write_text(
        '[[reasoning]]\nmodel = "open-small"\ntokens = 5\n'
        '[[refuses]]\nmodel = "open-large"\nwhat = ["logprobs"]\n'
    )
    with a_sandbox(tmp_path, "--faults", str(faults)) as address:
        client = openai.OpenAI(base_url=f"{address}/v1", api_key="k", max_retries=0)
        create: Any = client.chat.completions.create
        with pytest.raises(openai.PermissionDeniedError, match="not allowed to request logprobs"):
            create(model="open-small", messages=TURNS, logprobs=True)
        with pytest.raises(openai.BadRequestError, match="logprobs"):
            create(model="open-large", messages=TURNS, logprobs=True)
        assert create(model="open-small", messages=TURNS).choices
