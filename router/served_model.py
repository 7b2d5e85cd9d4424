"""The model that answered: whether it is the one that was asked for, under another name."""

import re
from collections.abc import Sequence

from tierqueue.router.item import TIERS, Risk, Tier

_ROUTING_TAG = re.compile(r":(?:free|nitro|floor|exacto|extended|online|beta|latest)$")
"""What gateways append to say how a model is reached, not which it is."""

_VERSION = re.compile(
    r"[-@:](?:"
    r"20\d\d-?(?:0[1-9]|1[0-2])-?(?:0[1-9]|[12]\d|3[01])"  # gpt-4o-2024-08-06, …-20250929
    r"|(?:0[1-9]|1[0-2])-20\d\d"  # command-r-08-2024
    r"|(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"  # gemini-…-preview-05-06
    r"|(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"  # gpt-4-0613
    r"|2\d(?:0[1-9]|1[0-2])"  # mistral-large-2411
    r"|00\d"  # gemini-2.0-flash-001
    r")$"
)
_BEDROCK = re.compile(
    r"^(?:[a-z]{2,6}\.)?(?:ai21|amazon|anthropic|cohere|deepseek|meta|mistral|openai|qwen)\."
    r"|-v\d+:\d+$"
)
"""What Bedrock puts around a name: eu.anthropic.claude-sonnet-4-5-20250929-v1:0."""


def same_model(asked: str, served: str, served_as: Sequence[str] = ()) -> bool:
    """Whether ``served`` names the model ``asked``.

    Gateways' prefixes, ways to reach it, ``latest`` and the case of letters are no part of a
    name. An undated name and a dated one are the same model; two different dates are not.
    ``served_as`` are further names of the same model, in which ``*`` stands for anything.
    """
    if served == asked or any(_fits(served, pattern) for pattern in served_as):
        return True
    (name, date), (other, other_date) = _read(asked), _read(served)
    return name == other and (date == other_date or not date or not other_date)


def must_be_the_asked(risk: str | None, floor: str | None) -> bool:
    """Whether an item's demands forbid the answer of another model.

    They do where a wrong answer hurts more than ourselves, and where a tier above the lowest was
    asked for; what states no risk is the riskiest.
    """
    return risk != Risk.INTERNAL or TIERS.index(Tier(floor or TIERS[0])) > 0


def _fits(served: str, pattern: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), served) is not None


def _read(name: str) -> tuple[tuple[list[str], list[str]], str]:
    """A name's words and numbers, each in order, and the date it bears, if any."""
    last = name.strip().lower().rstrip("/").rpartition("/")[2]
    last = _BEDROCK.sub("", _ROUTING_TAG.sub("", last)).removesuffix("-latest")
    dated = _VERSION.search(last)
    date = "" if dated is None else re.sub(r"\D", "", dated[0])
    parts = re.split(r"[-._@ ]+", last if dated is None else last[: dated.start()])
    # Vendors put a version before the size or after it: claude-3-5-sonnet, claude-sonnet-4-5.
    words = [part for part in parts if part and not part.isdecimal()]
    numbers = [part for part in parts if part.isdecimal()]
    if len(numbers) > 1 and numbers[-1] == "0":  # claude-sonnet-4-0 is claude-sonnet-4-20250514
        numbers.pop()
    return (words, numbers), date
