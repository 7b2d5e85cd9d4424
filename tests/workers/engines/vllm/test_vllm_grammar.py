"""Which part of a schema the engine's grammar cannot hold."""

from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from tests.workers.engines.engine_calls import BOUNDED
from tierqueue.tasks.answers.form import schema_of
from tierqueue.tasks.answers.schema import grammatical

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # vLLM and torch warn of their own future
    pytest.mark.engine,
]

Letters = Annotated[str, Field(pattern=r"^\p{L}+$")]
"""A pattern that pydantic takes and no grammar of this engine does."""


class Code(BaseModel):
    kind: int
    code: Letters


class Invoice(BaseModel):
    number: str
    lines: list[Code]
    other: Code | None = None


class Amount(BaseModel):
    cents: Annotated[int, Field(ge=-(10**20))]


class Branch(BaseModel):
    name: str
    branches: list["Branch"]


@pytest.fixture
def grammar() -> Any:
    from vllm.config import StructuredOutputsConfig

    from tierqueue.workers.engines.vllm.grammar import Grammar
    from tierqueue.workers.engines.vllm.request import Sampling

    configuration = StructuredOutputsConfig(backend="xgrammar", disable_any_whitespace=True)
    llm = SimpleNamespace(
        model_config=SimpleNamespace(is_diffusion=False),
        vllm_config=SimpleNamespace(structured_outputs_config=configuration),
        get_tokenizer=object,
    )
    return Grammar(llm, Sampling())


def test_a_schema_that_is_held_has_no_such_part(grammar: Any) -> None:
    assert grammar.not_held(BOUNDED) is None
    assert grammar.not_held(grammatical(schema_of(Branch))) is None


@pytest.mark.parametrize(
    ("model", "part"),
    [(Code, "code: pattern"), (Invoice, "lines[].code: pattern"), (Amount, "cents: minimum")],
)
def test_the_innermost_part_is_named_and_the_word_that_it_is_about(
    grammar: Any, model: type[BaseModel], part: str
) -> None:
    assert grammar.not_held(grammatical(schema_of(model))) == part


def test_an_answer_that_is_wrong_as_a_whole_is_named_by_the_word_alone(grammar: Any) -> None:
    assert grammar.not_held({"type": "strng"}) == "type"
    nested = {"type": "object", "properties": {"a": {"prefixItems": [{"enum": []}]}}}
    assert grammar.not_held(nested) == "a[0]: enum"


def test_a_model_within_itself_is_searched_to_its_end() -> None:
    from tierqueue.workers.engines.vllm.grammar import part_not_held

    schema = grammatical(schema_of(Branch))
    assert part_not_held(schema, lambda _: False) != ""
