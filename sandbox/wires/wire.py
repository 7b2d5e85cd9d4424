"""The common part of the two wire formats: strict reading of fields, and the shape they share."""

from typing import Any, Protocol

from sandbox.wires.call import Api, Call, Json, Refused, Served

Headers = list[tuple[bytes, bytes]]
Remaining = tuple[int | None, int | None]
"""Requests and tokens left in this minute."""


MOST_OUTPUT = 128_000
"""Output tokens of the largest models of both vendors."""


class Wire(Protocol):
    """One provider's format: requests to ``Call``, answers and errors to JSON."""

    api: Api
    most_bytes: int

    def key(self, headers: dict[bytes, bytes]) -> str:
        """The caller's key, empty where there is none."""

    def read(self, body: Json) -> Call:
        """The call. Raises ``Refused`` 400 for what this provider would refuse as well."""

    def answer(self, call: Call, served: Served, seq: int) -> Json:
        """The reply to a served call."""

    def events(self, call: Call, answer: Json, /) -> list[Json]:
        """The events of an answer that is streamed."""

    def worded(self, refused: Refused) -> Refused:
        """The refusal as this provider words it."""

    def error(self, refused: Refused, request: str, /) -> Json | list[Json]:
        """The reply to a refused one."""

    def headers(self, seq: int, remaining: Remaining, limits: Remaining) -> Headers:
        """The request's id, what is left in this minute, and what a minute has."""


def field(body: Json, name: str, kind: type, otherwise: Any = None) -> Any:
    """``body[name]`` if it is of that kind, ``otherwise`` if absent or null, else 400."""
    value = body.get(name)
    if value is None:
        return otherwise
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise Refused(400, f"{name}: expected {kind.__name__}")
    return value


def positive(body: Json, name: str) -> int | None:
    """A token limit, from 1 to ``MOST_OUTPUT``; ``None`` where it is absent."""
    value: int | None = field(body, name, int)
    if value is not None and value < 1:
        raise Refused(400, f"{name}: must be at least 1")
    if value is not None and value > MOST_OUTPUT:
        raise Refused(400, f"{name}: {value} > {MOST_OUTPUT}, the most output tokens of this model")
    return value


def text_parts(content: Any, where: str, images: list[Json] | None = None) -> list[Json]:
    """A message's content as text parts; a plain string is one part. Where ``images`` may be, they
    are put there.
    """
    if content is None:
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise Refused(400, f"{where}: expected text or a list of parts")
    texts: list[Json] = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if images is not None and kind in ("image", "image_url"):
            images.append(part)
            continue
        if kind != "text":
            raise Refused(400, f"{where}: the sandbox reads text here, and images of a user")
        if not isinstance(part.get("text"), str):
            raise Refused(400, f"{where}: a part without text")
        texts.append(part)
    return texts


def messages(body: Json) -> list[Json]:
    """The request's messages, at least one, each with a role."""
    found: list[Json] = field(body, "messages", list, [])
    if not found:
        raise Refused(400, "messages: at least one message is required")
    if not all(isinstance(turn, dict) and isinstance(turn.get("role"), str) for turn in found):
        raise Refused(400, "messages: every message needs a role")
    return found


def model(body: Json) -> str:
    """The model's name."""
    name: str = field(body, "model", str, "")
    if not name:
        raise Refused(400, "model: a model name is required")
    return name


def refuse_tools(body: Json) -> None:
    """400 for what the sandbox would have to pretend."""
    for name in ("tools", "functions"):
        if body.get(name):
            raise Refused(400, f"{name}: the sandbox does not offer it")


def refuse_unknown(body: Json, known: set[str]) -> None:
    """400 for a parameter the vendor does not know."""
    unknown = sorted(body.keys() - known)
    if unknown:
        raise Refused(400, f"Unrecognized request argument supplied: {', '.join(unknown)}")


def known_limits(told: dict[bytes, int | None]) -> Headers:
    """The headers for those limits that exist."""
    return [(name, b"%d" % count) for name, count in told.items() if count is not None]
