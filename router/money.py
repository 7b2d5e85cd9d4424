"""Money: integer nano-dollars (10⁻⁹ US dollars), rounded up whenever a fraction appears.

Integers because sums must balance exactly; upward because a bound that is a fraction too low is
not a bound.
"""

import re
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import NewType

from tierqueue.router.errors import InvalidItem

NanoUSD = NewType("NanoUSD", int)

NOTHING = NanoUSD(0)
NANO_PER_USD = 1_000_000_000
_MONEY = re.compile(
    # Commas only where a point follows: "1,234" alone means a thousandth of it in half the world.
    r"^\s*\$?\s*(?P<amount>[0-9]{1,3}(?:,[0-9]{3})+\.[0-9]+|[0-9]+(?:\.[0-9]+)?)\s*(?:usd)?\s*$",
    re.IGNORECASE,
)


def parse_usd(text: str | float | Decimal) -> NanoUSD:
    """``"2usd"``, ``"$0.05"``, ``"0.05"`` or a number of dollars, as nano-dollars.

    Raises ``InvalidItem`` for anything else, for a negative amount, and for an amount finer than
    a nano-dollar, since a limit that is silently rounded is not the limit that was asked for.
    """
    written = format(Decimal(str(text)), "f") if isinstance(text, float | Decimal) else str(text)
    match = _MONEY.match(written) if not isinstance(text, bool) else None
    if match is None:
        raise InvalidItem(f"{text!r} is not an amount of money: write it like 2usd, $0.05 or 0.05")
    nano = Decimal(match["amount"].replace(",", "")) * NANO_PER_USD
    if nano != int(nano):
        raise InvalidItem(f"{text!r} is finer than a nano-dollar (0.000000001 usd)")
    return NanoUSD(int(nano))


def format_usd(nano: int) -> str:
    """``1234000`` -> ``"$0.001234"``: at least two decimals, no digit lost."""
    sign = "-" if nano < 0 else ""
    whole, fraction = divmod(abs(nano), NANO_PER_USD)
    decimals = f"{fraction:09d}".rstrip("0").ljust(2, "0")
    return f"{sign}${whole:,}.{decimals}"


def round_up(amount: Fraction | Decimal) -> NanoUSD:
    """An exact amount of nano-dollars, rounded up to a whole one."""
    return NanoUSD(ceil(amount))
