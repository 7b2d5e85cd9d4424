"""How a deployment is asked for an answer's form, and that the prompt's bound covers each way."""

import json
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import pytest
from pydantic import BaseModel, RootModel

from tests.tasks.answers.test_answer_schema import EXPRESSIBLE, Order, Person
from tierqueue.router.errors import InvalidItem
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.policy import parse_policy
from tierqueue.tasks import Prompt, item_task
from tierqueue.tasks.answers.form import FREE_TEXT, asked_of, size

T = TypeVar("T")


def deployment(engine: str = "openai", **stated: Any) -> Deployment:
    lines = {
        "tier": "gpu" if engine == "vllm" else "frontier",
        "engine": engine,
        "model": "m",
        "boundary": "house" if engine == "vllm" else "vendor:v",
        **({} if engine == "vllm" else {"key_env": "KEY"}),
        **stated,
    }
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in lines.items())
    prices = 'context_window = 8192\nprices = { input = "1", output = "1" }\n'
    policy = parse_policy(f"[deployments.d]\n{text}{prices}", "test")
    return policy.deployments["d"]


class Scores(BaseModel):
    by_name: dict[str, float]


class Numbers(RootModel[list[int]]):
    pass


class Page(BaseModel, Generic[T]):
    items: list[T]


def test_a_free_text_is_asked_for_without_any_form() -> None:
    assert asked_of(deployment(), None) is FREE_TEXT


@pytest.mark.parametrize("engine", ["openai", "anthropic"])
@pytest.mark.parametrize("model", EXPRESSIBLE.values(), ids=EXPRESSIBLE.keys())
def test_a_vendor_is_given_its_strict_subset(engine: str, model: Any) -> None:
    form = asked_of(deployment(engine), model)
    assert form.schema is not None
    assert form.schema["additionalProperties"] is False
    assert (form.words, form.json_object) == ("", False)


def test_what_a_vendor_cannot_express_is_asked_for_in_words() -> None:
    for model in (Scores, Person):
        openai, anthropic = (asked_of(deployment(kind), model) for kind in ("openai", "anthropic"))
        assert openai.schema is None
        assert anthropic.schema is None
        assert openai.json_object
        assert not anthropic.json_object
        assert json.dumps(model.model_json_schema(), separators=(",", ":")) in openai.words
        assert "JSON" in openai.words  # OpenAI refuses its JSON mode to a prompt without the word
        assert anthropic.words == openai.words
        assert asked_of(deployment("vllm"), model).schema is not None


def test_a_json_mode_is_never_asked_for_what_is_no_object() -> None:
    form = asked_of(deployment(structured_output="json_object"), Numbers)
    assert (form.schema, form.json_object) == (None, False)
    assert "array" in form.words


def test_a_deployment_says_how_it_is_asked() -> None:
    stated = asked_of(deployment(structured_output="json_object"), Order)
    assert (stated.schema, stated.json_object) == (None, True)
    assert "Order" in stated.words
    nothing = asked_of(deployment(structured_output="none"), Order)
    assert (nothing.schema, nothing.json_object) == (None, False)
    assert nothing.words == stated.words
    assert asked_of(deployment("anthropic", structured_output="none"), Order).words


def test_the_name_of_a_schema_is_one_that_vendors_take() -> None:
    form = asked_of(deployment(), Page[int])
    assert form.name == "Page_int_"
    long = type("Größe" * 30, (BaseModel,), {"__annotations__": {"a": int}, "__module__": __name__})
    name = asked_of(deployment(), long).name
    assert name.isascii()
    assert len(name) == 64


WAYS: list[Callable[[], Deployment]] = [
    deployment,
    lambda: deployment("anthropic"),
    lambda: deployment(structured_output="json_object"),
    lambda: deployment(structured_output="none"),
    lambda: deployment("vllm"),
]


@pytest.mark.parametrize("model", [*EXPRESSIBLE.values(), Scores, Person, Numbers, Page[int]])
def test_the_bound_covers_each_way_of_asking(model: Any) -> None:
    for way in WAYS:
        form = asked_of(way(), model)
        sent = "" if form.schema is None else form.name + json.dumps(form.schema)
        assert len((form.words + "\n\n" + sent).encode()) <= size(model)
    assert size(None) == 0


def test_a_model_without_a_json_schema_is_refused_where_it_is_declared() -> None:
    class Held(BaseModel):
        model_config = {"arbitrary_types_allowed": True}

        what: Callable[[], int]

    with pytest.raises(InvalidItem, match=r"team\.held: Held has no JSON schema"):

        @item_task("team.held", output=Held)
        def held(text: str) -> Prompt:
            return Prompt(system="", prefix="", question=text)
