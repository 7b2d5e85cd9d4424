"""Faults on demand: what can go wrong, and the markers in a prompt that ask for it.

A marker stands anywhere in the prompt: ``[[sandbox:429 after=1]]``. Every marker may say
``times=N`` (only the first N calls with this exact prompt and model) and ``model=NAME`` (only
when NAME is asked). ``mute`` is a ``hang`` whose stream has begun: it says that it lives, and no
token. ``flex_full`` and ``not_flex`` (served and billed by the default tier) are for calls by the
service tier ``flex`` alone. Of several markers the first that applies is played, so that
``[[sandbox:500 times=1]][[sandbox:429 times=1]]`` fails twice and then succeeds. A marker that
cannot be understood is answered with 400: a misspelt fault must not look like a success.
"""

import math
import re
from dataclasses import dataclass

from sandbox.failing.limits import too_large
from sandbox.wires.call import Call, Refused

# Which number each fault takes, and its value where none is given.
KINDS: dict[str, tuple[str, float | None] | None] = {
    "429": ("after", None),
    "500": None,
    "503": ("after", None),
    "unauthorized": None,
    "no_quota": None,
    "no_model": None,
    "bad_request": None,
    "hang": ("seconds", 30.0),
    "mute": ("seconds", 30.0),
    "garbage": None,
    "gateway": ("status", 502.0),
    "truncated": None,
    "charged_lost": None,
    "invalid": None,
    "overage": ("factor", 3.0),
    "error_in_200": ("status", 429.0),
    "filtered": None,
    "too_long": None,
    "too_large": ("status", 429.0),
    "no_usage": None,
    "zero_usage": None,
    "no_finish": None,
    "other_model": None,
    "thinks": None,
    "flex_full": ("after", None),
    "not_flex": None,
}
FLEX = ("flex_full", "not_flex")
REFUSALS = {
    "429": 429,
    "500": 500,
    "503": 503,
    "unauthorized": 401,
    "no_quota": 429,
    "no_model": 404,
    "bad_request": 400,
    "error_in_200": 200,
    "filtered": 400,
    "too_long": 400,
    "too_large": 429,
    "flex_full": 429,
}
# As the vendors themselves say it; Anthropic has words for it and no code.
CODES = {
    "filtered": "content_filter",
    "too_long": "context_length_exceeded",
    "no_quota": "insufficient_quota",
    "flex_full": "resource_unavailable",
}
TOO_LARGE = (6_000, 12_328)
"""The limit that the fault of that name tells, in tokens a minute, and what was asked for."""
MESSAGES = {
    "no_quota": "Your credit balance is too low to access the API.",
    "filtered": "Output blocked by content filtering policy",
    "too_long": "prompt is too long: 200001 tokens > 200000 maximum",
    "flex_full": "Resource Unavailable",
}
_MARKER = re.compile(r"\[\[sandbox:([^\]]*)\]\]")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    ``amount`` is its number: seconds to wait or to hang, how many times the output limit is billed,
    or the status of an error or of a gateway's page in place of a billed answer.
    """

    kind: str
    amount: float | None = None

    def refuse(self) -> None:
        """Raise ``Refused`` where the fault is an error reply; nothing is billed for those."""
        status = REFUSALS.get(self.kind)
        if status is None:
            return
        if self.kind == "too_large":
            raise too_large(int(self.amount or 429), *TOO_LARGE)
        inside = self.kind == "error_in_200"
        if inside:
            status = int(self.amount or 0)
        raise Refused(
            status,
            MESSAGES.get(self.kind, f"simulated fault: {self.kind}"),
            after=None if inside else self.amount,
            fault=self.kind,
            code=CODES.get(self.kind),
            inside=inside,
        )


def fault(kind: str, given: dict[str, float]) -> Fault:
    """A fault by name. Raises ``ValueError`` for a kind or a number it does not know."""
    if kind not in KINDS:
        raise ValueError(f"unknown fault {kind!r}: know {', '.join(KINDS)}")
    takes = KINDS[kind]
    name, amount = takes if takes is not None else (None, None)
    unknown = given.keys() - {name}
    if unknown:
        raise ValueError(f"fault {kind}: unknown {sorted(unknown)}")
    if name in given:
        amount = float(given[name])
        if not (math.isfinite(amount) and amount >= 0):
            raise ValueError(f"fault {kind}: {name} is not a number from 0 up")
    return Fault(kind, amount)


class Markers:
    """Plays the markers of prompts. Counts calls in memory: a restart begins anew."""

    def __init__(self) -> None:
        self._played: dict[tuple[str, str, int], int] = {}

    def next(self, call: Call, prompt: str, prompt_sha256: str) -> Fault | None:
        """The fault this call is to have, if any. Raises ``Refused`` 400 for a bad marker."""
        if "[[sandbox:" not in prompt:
            return None
        for at, marker in enumerate(_MARKER.findall(prompt)):
            try:
                found, times, model = _read(marker)
            except ValueError as error:
                raise Refused(400, f"sandbox marker: {error}", fault="bad_marker") from None
            if model not in (None, call.model) or (found.kind in FLEX and call.tier != "flex"):
                continue
            if times is not None:
                key = (prompt_sha256, call.model, at)
                played = self._played.get(key, 0)
                if played >= times:
                    continue
                self._played[key] = played + 1
            return found
        return None


def _read(marker: str) -> tuple[Fault, int | None, str | None]:
    kind, *settings = marker.split() or [""]
    given: dict[str, float] = {}
    times: int | None = None
    model: str | None = None
    for setting in settings:
        name, _, value = setting.partition("=")
        if name == "model" and value:
            model = value
        elif name == "times" and value.isdecimal():
            times = int(value)
        else:
            given[name] = float(value)
    return fault(kind, given), times, model
