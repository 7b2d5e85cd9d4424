"""How many examples of a property are drawn."""

from hypothesis import settings

USUAL, QUICK = 100, 20
"""Examples of a property that states no number: in ``make test``, and in ``make quick``."""


def examples(number: int) -> int:
    """So many examples in ``make test``, and in ``make quick`` a fifth."""
    return number * settings().max_examples // USUAL
