"""Troubles switched on and off while the sandbox runs, as they are seen through the real SDKs."""

from collections.abc import Iterator
from pathlib import Path

import anthropic
import openai
import pytest

from tests.sandbox.conftest import Provider


@pytest.fixture
def troubles(tmp_path: Path) -> Path:
    return tmp_path / "troubles"


@pytest.fixture
def provider(tmp_path: Path, troubles: Path) -> Iterator[Provider]:
    started = Provider(tmp_path / "sandbox.jsonl", "--troubles", str(troubles))
    yield started
    started.end()


def test_every_call_of_a_matching_model_meets_it_while_the_file_is_there(
    provider: Provider, troubles: Path
) -> None:
    provider.ask_openai("before")
    troubles.write_text("open-* 503 after=25\n", encoding="utf-8")
    with pytest.raises(openai.InternalServerError) as raised:
        provider.ask_openai("during [[sandbox:garbage]]")
    assert raised.value.response.headers["retry-after"] == "25"
    provider.ask_anthropic("another model")
    troubles.write_text("frontier-* unauthorized\n", encoding="utf-8")
    provider.ask_openai("over")
    with pytest.raises(anthropic.AuthenticationError):
        provider.ask_anthropic("now me")
    troubles.unlink()
    provider.ask_anthropic("after")
    faults = [line["fault"] for line in provider.lines()]
    assert faults == [None, "503", None, None, "unauthorized", None]


@pytest.mark.parametrize("line", ["* 5O3", "*", "* 503 after=soon", "* 503 until=1"])
def test_a_line_that_cannot_be_understood_is_answered_with_400(
    provider: Provider, troubles: Path, line: str
) -> None:
    troubles.write_text(line, encoding="utf-8")
    with pytest.raises(openai.BadRequestError, match="sandbox trouble"):
        provider.ask_openai("hello")
