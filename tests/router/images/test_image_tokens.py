"""What an image counts as: never less than a provider bills for it."""

from math import ceil

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sandbox.wires import images as billed
from tierqueue.router.images.tokens import rule_of

sides = st.integers(1, 8_000)


def tokens(profile: str, model: str, width: int, height: int) -> int:
    rule = rule_of(None, profile, model)
    assert rule is not None, model
    return rule.tokens(width, height)


@pytest.mark.parametrize(
    ("model", "size", "counts"),
    [
        ("gpt-4o", (1024, 1024), 765),
        ("gpt-4o-2024-11-20", (2048, 4096), 1_105),
        ("gpt-4o-mini", (1024, 1024), 2_833 + 4 * 5_667),
        ("gpt-5", (1024, 1024), 630),
        ("gpt-5-2025-08-07", (1024, 1024), 630),
        ("o3", (1024, 1024), 675),
        ("gpt-4.1-mini", (1024, 1024), 1_659),
        ("gpt-5-nano", (1024, 1024), 2_520),
        ("o4-mini", (8_000, 8_000), 2_642),
        ("gpt-5.4", (1920, 1080), 2_448),
        ("gpt-5.6-sol", (8_000, 8_000), 3_000),
    ],
)
def test_openai_counts_as_its_documents_have_it(
    model: str, size: tuple[int, int], counts: int
) -> None:
    assert tokens("openai", model, *size) == counts


@pytest.mark.parametrize(
    ("model", "most"),
    [
        ("claude-3-5-haiku-latest", 1_600),
        ("claude-sonnet-4-20250514", 1_600),
        ("claude-sonnet-4-5", 1_600),
        ("claude-opus-4-1-20250805", 1_600),
        ("claude-opus-4-6", 1_600),
        ("claude-opus-4-7", 4_784),
        ("claude-something-new", 4_784),
    ],
)
def test_anthropic_counts_by_pixels_up_to_what_a_model_sees(model: str, most: int) -> None:
    assert tokens("anthropic", model, 8_000, 8_000) == most
    assert tokens("anthropic", model, 1_000, 1_000) == ceil(1_000_000 / 750)


@given(sides, sides)
@example(1, 8_000)
@example(1_800, 2_400)
@example(768, 2_048)
def test_no_image_is_billed_for_more_than_it_counts_as(width: int, height: int) -> None:
    tiles = 85 + 170 * billed.tiles(width, height)
    patches = ceil(1.62 * billed.patches(width, height))
    assert tokens("openai", "gpt-4o", width, height) >= tiles
    assert tokens("openai", "gpt-4.1-mini", width, height) >= patches
    assert tokens("anthropic", "claude-sonnet-4-5", width, height) >= billed.area(width, height)


def test_what_no_document_tells_has_to_be_stated() -> None:
    assert rule_of(None, "openai", "gpt-9") is None
    assert rule_of(None, None, "gpt-4o") is None
    assert rule_of(None, "mistral", "pixtral-large") is None
    stated = rule_of(2_000, "mistral", "pixtral-large")
    assert stated is not None
    assert stated.tokens(8_000, 8_000) == stated.tokens(1, 1) == 2_000
