"""vLLM checks a schema once an engine, and one that its grammar cannot hold at every call."""

import dataclasses
from collections.abc import Callable

import pytest

from tests.workers.engines.engine_calls import BOUNDED, a_call
from tierqueue.workers.engines.engine import Call

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # vLLM and torch warn of their own future
    pytest.mark.engine,
]

Check = Callable[[Call], None]
COUNTED: list[str] = []


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> Check:
    """Has vLLM check a call's form as at a request, and notes each schema it makes a grammar of."""
    from vllm.config import StructuredOutputsConfig
    from vllm.v1.structured_output import backend_xgrammar

    from tierqueue.workers.engines.vllm import request

    made = backend_xgrammar.validate_xgrammar_grammar
    COUNTED.clear()

    def counted(parameters: object) -> None:
        COUNTED.append("")
        made(parameters)

    monkeypatch.setattr(backend_xgrammar, "validate_xgrammar_grammar", counted)
    sampling = request.Sampling()
    configuration = StructuredOutputsConfig(backend="xgrammar", disable_any_whitespace=True)

    class NoDiffusion:
        is_diffusion = False

    def of(call: Call) -> None:
        sampling(call)._validate_structured_outputs(NoDiffusion(), configuration, object())

    return of


def test_two_calls_with_one_schema_are_checked_once(check: Check) -> None:
    check(a_call("m", schema=BOUNDED))
    check(dataclasses.replace(a_call("m", schema=dict(BOUNDED)), item="another"))
    assert len(COUNTED) == 1


def test_another_schema_is_checked_too(check: Check) -> None:
    check(a_call("m", schema=BOUNDED))
    check(a_call("m", schema={"type": "string", "maxLength": 7}))
    assert len(COUNTED) == 2


def test_a_schema_that_no_grammar_holds_is_refused_at_every_call(check: Check) -> None:
    from vllm.exceptions import VLLMValidationError

    wrong = {"type": "object", "properties": {"x": {"$ref": "#/$defs/nowhere"}}}
    for _ in range(2):
        with pytest.raises(VLLMValidationError, match="grammar"):
            check(a_call("m", schema=wrong))


def test_a_call_without_a_schema_needs_no_check(check: Check) -> None:
    check(a_call("m"))
    assert COUNTED == []
