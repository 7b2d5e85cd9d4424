"""The lines of an input file: one request each, all checked before any is served."""

import json
from dataclasses import dataclass

from sandbox.batch.terms import Terms
from sandbox.serving import input_tokens
from sandbox.wires.call import Call, Json, Refused
from sandbox.wires.wire import Wire

ENDPOINT = "/v1/chat/completions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What a vendor's input files look like: the keys of a line, the addresses that it may name,
    and the purpose of such a file.
    """

    keys: frozenset[str] = frozenset({"custom_id", "method", "url", "body"})
    urls: tuple[str, ...] = (ENDPOINT,)
    purpose: str = "batch"


OPENAI = Form()


@dataclass(frozen=True, slots=True)
class Request:
    """One line; ``call`` is what it asks for, or why it is refused when its turn comes."""

    custom_id: str
    call: Call | Refused


class Invalid(Exception):
    """The file is refused as a whole: ``errors`` are the batch's, in the vendor's shape."""

    def __init__(self, errors: list[Json]) -> None:
        super().__init__()
        self.errors = errors


def read(
    content: bytes, wire: Wire, terms: Terms, form: Form = OPENAI, model: str | None = None
) -> tuple[str, list[Request], int]:
    """The model, the requests, and their input tokens; ``model`` where the batch names it for all
    lines. Raises ``Invalid``.
    """
    lines = [line for line in content.split(b"\n") if line.strip()]
    if len(content) > terms.bytes:
        raise Invalid([_error("file_too_large", f"the file has more than {terms.bytes} bytes")])
    if not lines:
        raise Invalid([_error("empty_file", "The input file is empty.")])
    if len(lines) > terms.requests:
        raise Invalid([_error("too_many_requests", f"more than {terms.requests} requests")])
    requests: list[Request] = []
    errors: list[Json] = []
    models: dict[str, int] = {}
    seen: set[str] = set()
    for number, line in enumerate(lines, start=1):
        try:
            asked = _line(line, form)
        except Invalid as refused:
            errors += [{**error, "line": number} for error in refused.errors]
            continue
        key = str(asked["custom_id"])
        if key in seen:
            wrong = f"custom_id {key!r} is used before"
            errors.append({**_error("duplicate_custom_id", wrong, "custom_id"), "line": number})
        seen.add(key)
        body = asked["body"] if model is None else {"model": model, **asked["body"]}
        models.setdefault(str(body.get("model")), number)
        requests.append(Request(key, _call(wire, body)))
    if len(models) > 1 or (model is not None and set(models) - {model}):
        wrong = "one model a file"
        errors.append({**_error("mismatched_model", wrong), "line": max(models.values())})
    if errors:
        raise Invalid(errors)
    tokens = sum(input_tokens(one.call) for one in requests if isinstance(one.call, Call))
    return next(iter(models)), requests, tokens


def _line(line: bytes, form: Form) -> Json:
    try:
        asked = json.loads(line)
    except (ValueError, RecursionError):
        raise Invalid(
            [_error("invalid_json_line", "This line is not parseable as JSON.")]
        ) from None
    if not isinstance(asked, dict) or not isinstance(asked.get("body"), dict):
        raise Invalid([_error("invalid_request", "a line is an object with a body", "body")])
    if unknown := sorted(asked.keys() - form.keys):
        raise Invalid([_error("unknown_parameter", f"unknown {', '.join(unknown)}", unknown[0])])
    key = asked.get("custom_id")
    if not isinstance(key, str) or not key or len(key) > 512:
        raise Invalid([_error("missing_required_parameter", "custom_id is missing", "custom_id")])
    if "method" in form.keys and asked.get("method") != "POST":
        raise Invalid([_error("invalid_method", "method is POST", "method")])
    if form.urls and asked.get("url") not in form.urls:
        raise Invalid([_error("mismatched_endpoint", f"url is the batch's, {ENDPOINT}", "url")])
    return asked


def _call(wire: Wire, body: Json) -> Call | Refused:
    try:
        return wire.read(body)
    except Refused as refused:
        return refused


def _error(code: str, message: str, param: str | None = None) -> Json:
    return {"code": code, "message": message, "param": param, "line": None}


def enqueued(model: str, limit: int) -> Invalid:
    """Why a batch fails whose tokens do not fit beside those of the others; in OpenAI's words."""
    message = (
        f"Enqueued token limit reached for {model} in organization org-sandbox. Limit: {limit:,} "
        "enqueued tokens. Please try again once some in_progress batches have been completed."
    )
    return Invalid([_error("token_limit_exceeded", message)])
