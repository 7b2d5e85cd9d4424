"""The tokens an image counts as, by the rules of the providers that publish theirs.

OpenAI: https://developers.openai.com/api/docs/guides/images-vision, "Calculating costs"; that its
larger models from gpt-5.4 on count 1.2 tokens a patch stands in measurements alone. Anthropic:
https://platform.claude.com/docs/en/build-with-claude/vision, "Calculate image costs".
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Protocol


class ImageRule(Protocol):
    """What one image of so many pixels counts as, at the most."""

    def tokens(self, width: int, height: int) -> int:
        """Tokens of input."""


@dataclass(frozen=True, slots=True)
class Tiles:
    """``base`` tokens, and ``tile`` for each square of 512 pixels of the image, once it is scaled
    into 2,048 pixels a side and to 768 on its shorter one: never more than eight squares.
    """

    base: int
    tile: int

    def tokens(self, width: int, height: int) -> int:
        """Tokens of input; a small image is taken as if it were scaled up."""
        longer, shorter = max(width, height), min(width, height)
        return self.base + self.tile * 2 * min(4, ceil(Fraction(3 * longer, 2 * shorter)))


@dataclass(frozen=True, slots=True)
class Patches:
    """``each`` tokens for every square of 32 pixels, and for ``most`` of them at the most: what has
    more is scaled down.
    """

    most: int
    each: Fraction

    def tokens(self, width: int, height: int) -> int:
        """Tokens of input."""
        return ceil(self.each * min(self.most, ceil(width / 32) * ceil(height / 32)))


@dataclass(frozen=True, slots=True)
class Area:
    """A token for 750 pixels, or for every square of 28, whichever are more; ``most`` at the most:
    what has more is scaled down.
    """

    most: int

    def tokens(self, width: int, height: int) -> int:
        """Tokens of input."""
        area, squares = ceil(width * height / 750), ceil(width / 28) * ceil(height / 28)
        return min(self.most, max(area, squares))


@dataclass(frozen=True, slots=True)
class FixedTokens:
    """``most`` tokens for each, whatever its size, as the policy states them."""

    most: int

    def tokens(self, width: int, height: int) -> int:  # noqa: ARG002  # of any size
        """Tokens of input."""
        return self.most


_MINI, _NANO = Patches(1_536, Fraction("1.62")), Patches(1_536, Fraction("2.46"))
_LARGE = Patches(2_500, Fraction("1.2"))
_STANDARD, _HIGH = Area(1_600), Area(4_784)

_OPENAI: tuple[tuple[str, ImageRule], ...] = (
    ("gpt-4o-mini.*", Tiles(2_833, 5_667)),
    ("gpt-4o.*", Tiles(85, 170)),
    (r"gpt-4\.1-mini.*", _MINI),
    (r"gpt-4\.1-nano.*", _NANO),
    (r"gpt-4\.1.*", Tiles(85, 170)),
    ("gpt-5-mini.*", _MINI),
    (r"gpt-5\.4-mini.*", _MINI),
    ("gpt-5-nano.*", _NANO),
    (r"gpt-5\.4-nano.*", _NANO),
    ("gpt-5", Tiles(70, 140)),
    ("gpt-5-20.*", Tiles(70, 140)),
    ("gpt-5-chat-latest", Tiles(70, 140)),
    (r"gpt-5\.2", Patches(1_536, Fraction("1.2"))),
    (r"gpt-5\.4", _LARGE),
    (r"gpt-5\.5", _LARGE),
    (r"gpt-5\.6.*", _LARGE),
    ("o4-mini.*", Patches(1_536, Fraction("1.72"))),
    ("o1", Tiles(75, 150)),
    ("o1-pro", Tiles(75, 150)),
    ("o3", Tiles(75, 150)),
)

_ANTHROPIC: tuple[tuple[str, ImageRule], ...] = (
    ("claude-3.*", _STANDARD),
    ("claude-.*-4-[0156]", _STANDARD),
    ("claude-.*-4-[0156]-.*", _STANDARD),
    ("claude-.*-4-20.*", _STANDARD),
    ("claude-.*", _HIGH),
)

RULES = {"openai": _OPENAI, "anthropic": _ANTHROPIC}
"""By profile: the names of models, as regular expressions, and how each counts; the first holds."""


def rule_of(stated: int | None, profile: str | None, model: str) -> ImageRule | None:
    """How a model counts images: as is ``stated`` (tokens for each), or as the documents of the
    provider with this profile say; ``None`` where neither does.
    """
    if stated is not None:
        return FixedTokens(stated)
    known = RULES.get(profile or "", ())
    return next((rule for name, rule in known if re.fullmatch(name, model)), None)
