"""Vendors and kinds of server, by ``vendors.toml``: what their wire takes, and how they word it."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sandbox.wires.call import Json, Refused

_LIST = Path(__file__).with_name("vendors.toml")
_EVERYBODY = frozenset(
    {
        *("model", "messages", "response_format", "temperature", "top_p", "stop", "n", "seed"),
        *("stream", "tools", "tool_choice", "frequency_penalty", "presence_penalty"),
    }
)
_LOGPROBS = {
    "none": frozenset[str](),
    "flag": frozenset({"logprobs", "top_logprobs"}),
    "number": frozenset({"logprobs"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """One table of the list; its head says what the keys mean."""

    name: str
    path: str
    takes: frozenset[str]
    unknown: int | None = None
    says: str = ""
    formats: frozenset[str]
    logprobs: str
    most: int = 0
    errors: str
    cached: str
    stop: str = "stop"
    streamed: Literal["asked", "last", "choice"] = "asked"
    too_long: tuple[str, str] = ("", "")
    no_quota: tuple[int, str, str] | None = None

    def taken(self, body: Json) -> Json:
        """The body as the vendor reads it, in OpenAI's spelling. Raises ``Refused`` as it would."""
        for name in sorted(body.keys() - self.takes):
            if self.unknown is not None:
                raise self.refusal(name)
        read = {name: value for name, value in body.items() if name in self.takes}
        kind = (read.get("response_format") or {}).get("type", "text")
        if kind not in self.formats | {"text"}:
            raise Refused(400, "This response_format type is unavailable now", param="type")
        top = read.get("logprobs") if self.logprobs == "number" else read.get("top_logprobs")
        if self.logprobs == "number" and top is not None:
            if type(top) is not int:
                raise Refused(400, "logprobs: Input should be a valid integer", param="logprobs")
            read |= {"logprobs": True, "top_logprobs": top}
        if type(top) is int and not 0 <= top <= self.most:
            raise Refused(400, f"top_logprobs: at most {self.most}", param="top_logprobs")
        return read

    def refusal(self, name: str) -> Refused:
        """What it answers to a parameter that it does not know."""
        status, words = self.unknown or 400, self.says.format(name=name)
        return Refused(status, words, code="unsupported_parameter", param=name)

    def worded(self, refused: Refused) -> Refused:
        """A fault as this vendor words it."""
        match refused.fault:
            case "too_long":
                code, message = self.too_long
                return Refused(refused.status, message, code=code or None, fault=refused.fault)
            case "no_quota" if self.no_quota is not None:
                status, code, message = self.no_quota
                return Refused(status, message, code=code or None, fault=refused.fault)
        return refused


def vendors() -> dict[str, Vendor]:
    """All of them by name. Raises ``TypeError`` for a list that cannot be read."""
    tables = tomllib.loads(_LIST.read_text(encoding="utf-8"))
    return {name: _vendor(name, table) for name, table in tables.items()}


def _vendor(name: str, table: Json) -> Vendor:
    told: dict[str, Any] = dict(table)
    lacks = set(told.pop("lacks", ()))
    own = _EVERYBODY | set(told.pop("takes")) | _LOGPROBS[told["logprobs"]]
    told["formats"] = frozenset(told["formats"])
    told |= {key: tuple(told[key]) for key in ("too_long", "no_quota") if key in told}
    return Vendor(name=name, takes=own - lacks, **told)
