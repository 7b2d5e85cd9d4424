"""Images at the sandbox: it takes what the vendors take, refuses what they refuse, and bills."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from sandbox.wires import images
from tests.images import FORMATS, a_moving_image, an_image
from tests.sandbox.conftest import Provider


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    started = Provider(tmp_path_factory.mktemp("images") / "log.jsonl")
    yield started
    started.end()


def to_openai(provider: Provider, body: bytes, kind: str, model: str = "frontier-mini") -> Any:
    url = f"data:{kind};base64,{base64.b64encode(body).decode()}"
    return _openai(provider, {"url": url, "detail": "high"}, model)


def _openai(provider: Provider, image: Any, model: str = "frontier-mini") -> Any:
    content: Any = [
        {"type": "image_url", "image_url": image},
        {"type": "text", "text": "What is it?"},
    ]
    return provider.openai.chat.completions.create(
        model=model, messages=[{"role": "user", "content": content}], max_completion_tokens=50
    )


def to_anthropic(
    provider: Provider, body: bytes, kind: str, model: str = "frontier-large", many: int = 1
) -> Any:
    data = base64.b64encode(body).decode()
    image = {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}
    content: Any = [*[image] * many, {"type": "text", "text": "What is it?"}]
    return provider.anthropic.messages.create(
        model=model, messages=[{"role": "user", "content": content}], max_tokens=50
    )


@pytest.mark.parametrize(("form", "kind"), FORMATS.items())
def test_both_take_what_they_say_and_bill_it_as_input(
    provider: Provider, form: str, kind: str
) -> None:
    body = an_image(form, (1024, 1024))
    assert to_openai(provider, body, kind).usage.prompt_tokens == 1_659 + 3
    assert to_openai(provider, body, kind, "frontier-large").usage.prompt_tokens == 765 + 3
    assert to_anthropic(provider, body, kind).usage.input_tokens == 1_399 + 3
    assert provider.lines()[-1]["cost_nanousd"] > 1_402 * 5_000


@pytest.mark.parametrize("model", ["open-small", "house-tiny"])
def test_a_model_without_eyes_refuses(provider: Provider, model: str) -> None:
    with pytest.raises(openai.BadRequestError, match="only supported by certain models"):
        to_openai(provider, an_image(), "image/png", model)
    with pytest.raises(anthropic.BadRequestError, match="does not support image input"):
        to_anthropic(provider, an_image(), "image/png", model)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"no image", "image/png"),
        (an_image("PNG"), "image/jpeg"),
        (a_moving_image("GIF"), "image/gif"),
        (an_image("BMP"), "image/bmp"),
    ],
)
def test_both_refuse_what_is_not_what_it_says(provider: Provider, body: bytes, kind: str) -> None:
    with pytest.raises(openai.BadRequestError, match="unsupported image"):
        to_openai(provider, body, kind)
    with pytest.raises(anthropic.BadRequestError):
        to_anthropic(provider, body, kind)


def test_one_refuses_what_is_too_large(provider: Provider) -> None:
    large = an_image() + bytes(3_932_161)
    with pytest.raises(anthropic.BadRequestError, match="exceeds 5 MB maximum"):
        to_anthropic(provider, large, "image/png")
    with pytest.raises(anthropic.BadRequestError, match="max allowed size: 8000 pixels"):
        to_anthropic(provider, an_image("PNG", (8_001, 1)), "image/png")
    with pytest.raises(anthropic.BadRequestError, match="max allowed size: 2000 pixels"):
        to_anthropic(provider, an_image("PNG", (2_001, 1)), "image/png", many=21)


def test_nothing_is_fetched(provider: Provider) -> None:
    with pytest.raises(openai.BadRequestError, match="fetches nothing"):
        _openai(provider, {"url": "https://images.example/shot.png"})
    with pytest.raises(openai.BadRequestError, match="expected low, high or auto"):
        _openai(provider, {"url": "data:image/png;base64,AA", "detail": "huge"})


def test_a_request_of_too_many_bytes_is_refused(provider: Provider) -> None:
    heavy = an_image() + bytes(3_900_000)
    with pytest.raises(anthropic.APIStatusError) as refused:
        to_anthropic(provider, heavy, "image/png", many=7)
    assert refused.value.status_code == 413


@pytest.mark.parametrize(
    ("size", "tiles", "patches"),
    [((1024, 1024), 4, 1_024), ((2048, 4096), 6, 1_485), ((1800, 2400), 4, 1_452)],
)
def test_the_documents_own_examples(size: tuple[int, int], tiles: int, patches: int) -> None:
    assert images.tiles(*size) == tiles
    assert abs(images.patches(*size) - patches) <= 60


def test_logs_name_no_image(provider: Provider) -> None:
    to_anthropic(provider, an_image(), "image/png")
    assert "base64" not in Path(provider.log).read_text("utf-8")
