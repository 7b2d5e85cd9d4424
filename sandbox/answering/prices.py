"""The sandbox's own price list, and the cost of a call in integer nano-dollars, rounded up once."""

import tomllib
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path

from sandbox.wires.call import Json, Refused, Usage

LIST = Path(__file__).with_name("prices.toml")
NANO_PER_USD = 1_000_000_000
TOKENS_PER_PRICE = 1_000_000
_REQUIRED = {"match", "input", "output"}
_OPTIONAL = {"cached", "cache_write_5m", "cache_write_1h"}


@dataclass(frozen=True, slots=True)
class Price:
    """Nano-dollars per million tokens, by class of token; ``flex``: it has that service tier."""

    match: str
    input: int
    output: int
    cached: int
    cache_write_5m: int
    cache_write_1h: int
    flex: bool = False

    def cost(self, usage: Usage, tier: str = "default") -> int:
        """Nano-dollars for one call: the exact sum over all classes, rounded up once.

        By the service tier ``flex`` half of it, as in a batch.
        """
        exact = (
            usage.input * self.input
            + usage.cached * self.cached
            + usage.written * self.cache_write_5m
            + usage.written_1h * self.cache_write_1h
            + usage.output * self.output
        )
        return -(-exact // (TOKENS_PER_PRICE * (2 if tier == "flex" else 1)))


class PriceList:
    """Which price applies to which model name. Raises ``ValueError`` on a list it cannot read."""

    def __init__(self, path: Path = LIST) -> None:
        rows = tomllib.loads(path.read_text(encoding="utf-8")).get("model", [])
        self.prices = tuple(_price(row) for row in rows)
        self._known: dict[str, Price] = {}

    def of(self, model: str) -> Price:
        """The first price whose pattern matches; ``Refused`` 404 for a model without one."""
        known = self._known.get(model)
        if known is not None:
            return known
        for price in self.prices:
            if fnmatchcase(model, price.match):
                self._known[model] = price
                return price
        raise Refused(404, f"the model {model!r} does not exist in the sandbox's price list")


def _price(row: Json) -> Price:
    unknown = row.keys() - _REQUIRED - _OPTIONAL - {"flex"}
    missing = _REQUIRED - row.keys()
    if unknown or missing:
        raise ValueError(f"price list: unknown {sorted(unknown)}, missing {sorted(missing)}")
    full = {**dict.fromkeys(_OPTIONAL, row["input"]), **row}
    nano = {name: _nano(price) for name, price in full.items() if name not in ("match", "flex")}
    return Price(match=row["match"], flex=row.get("flex") is True, **nano)


def _nano(dollars: str) -> int:
    nano = Decimal(dollars) * NANO_PER_USD
    if nano < 0 or nano != int(nano):
        raise ValueError(f"price list: {dollars!r} is not a price in whole nano-dollars")
    return int(nano)
