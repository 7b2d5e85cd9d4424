"""``/v1/files`` and ``/v1/batches`` over HTTP, and how a batch's requests are served and billed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol
from urllib.parse import parse_qs

from sandbox.batch import requests
from sandbox.batch.batch import OVER, Batch
from sandbox.batch.files import Files
from sandbox.batch.requests import ENDPOINT, Invalid, Request
from sandbox.batch.serving import Counter
from sandbox.batch.terms import Terms
from sandbox.call import Json, Refused
from sandbox.log import Log
from sandbox.serving import Desk
from sandbox.wire import field
from sandbox.wire_openai import OpenAIWire

PATHS = ("/v1/files", "/v1/batches")
_WIRE = OpenAIWire()
_ASKED = {"input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after"}
_MOST_LISTED = 100


class Told(Protocol):
    """A file or a batch, as it is told of."""

    @property
    def id(self) -> str:
        """Its id."""

    def as_json(self) -> Json:
        """The object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One HTTP request."""

    key: str
    """The caller's, empty where there is none."""
    method: str
    path: str
    query: bytes
    kind: str
    """Its content type."""
    body: bytes

    def option(self, name: str) -> str | None:
        """A parameter of the query."""
        values = parse_qs(self.query.decode("latin-1")).get(name)
        return None if values is None else values[0]


class Batches:
    """All files and batches while the process lives."""

    def __init__(self, desk: Desk, log: Log, terms: Terms) -> None:
        self._desk = desk
        self._counter = Counter(
            desk, log, terms, _WIRE, _served, lambda refused: {"error": _WIRE.as_json(refused)}
        )
        self._terms = terms
        self._files = Files()
        self._batches: dict[str, Batch] = {}

    def answer(self, asked: Asked) -> Json | bytes:
        """The reply: JSON, or a file's content. Raises ``Refused``."""
        if not asked.key:
            raise Refused(401, "the sandbox wants a key too: any that is not empty")
        now = self._terms.now()
        for batch in self._batches.values():
            batch.advance(now, self._files)
        match (asked.method, *asked.path.removeprefix("/v1/").split("/")):
            case ("POST", "files"):
                return self._files.upload(asked.kind, asked.body, now).as_json()
            case ("GET", "files"):
                return _page(self._files.newest_first(asked.option("purpose")), asked)
            case ("GET", "files", key):
                return self._files.get(key).as_json()
            case ("DELETE", "files", key):
                self._files.delete(key)
                return {"id": key, "object": "file", "deleted": True}
            case ("GET", "files", key, "content"):
                return self._files.get(key).content
            case ("POST", "batches"):
                return self._create(asked.body, now).as_json()
            case ("GET", "batches"):
                return _page(list(reversed(self._batches.values())), asked)
            case ("GET", "batches", key):
                return self._batch(key).as_json()
            case ("POST", "batches", key, "cancel"):
                return self._cancel(self._batch(key), now).as_json()
        raise Refused(404, f"the sandbox has no {asked.method} {asked.path}")

    def _batch(self, key: str) -> Batch:
        batch = self._batches.get(key)
        if batch is None:
            raise Refused(404, f"No batch found with id '{key}'.")
        return batch

    def _create(self, body: bytes, now: float) -> Batch:
        asked = json_object(body)
        if unknown := sorted(asked.keys() - _ASKED):
            raise Refused(400, f"Unknown parameter: '{unknown[0]}'.")
        if asked.get("endpoint") != ENDPOINT:
            raise Refused(400, f"endpoint: the sandbox serves {ENDPOINT} in batches")
        if asked.get("completion_window") != "24h":
            raise Refused(400, "completion_window: the one value is '24h'")
        file = self._files.get(field(asked, "input_file_id", str, ""))
        if file.purpose != "batch":
            raise Refused(400, f"the purpose of {file.id} is {file.purpose!r}, not 'batch'")
        number = len(self._batches) + 1
        batch = Batch(
            id=f"batch_sandbox_{number}",
            input_file=file.id,
            metadata=_metadata(asked),
            created=now,
            seconds=self._terms.seconds(number),
            cancelling=self._terms.cancelling,
            serve=self._counter.serve,
            unserved=_unserved,
        )
        try:
            model, found, tokens = requests.read(file.content, _WIRE, self._terms)
            self._desk.model(model)
            limit = self._terms.enqueued_tokens
            if limit is not None and tokens + self._enqueued(model) > limit:
                raise requests.enqueued(model, limit)
            batch.model, batch.requests, batch.tokens = model, found, tokens
        except Invalid as wrong:
            batch.fail(wrong.errors, now)
        except Refused as refused:
            error = {"code": "model_not_found", "message": refused.message, "param": "body.model"}
            batch.fail([{**error, "line": 1}], now)
        self._batches[batch.id] = batch
        return batch

    def _enqueued(self, model: str) -> int:
        return sum(
            batch.tokens
            for batch in self._batches.values()
            if batch.model == model and batch.status not in OVER
        )

    def _cancel(self, batch: Batch, now: float) -> Batch:
        if batch.status in OVER or batch.status == "cancelling":
            raise Refused(409, f"Cannot cancel a batch with status '{batch.status}'.")
        batch.cancel(now)
        batch.advance(now, self._files)
        return batch


def _served(request: Request, status: int, body: Json, seq: int) -> Json:
    response = {"status_code": status, "request_id": f"req_sandbox_{seq}", "body": body}
    return {
        "id": f"batch_req_sandbox_{seq}",
        "custom_id": request.custom_id,
        "response": response,
        "error": None,
    }


_UNSERVED = {
    "expired": ("batch_expired", "This request could not be executed before the window expired."),
    "cancelled": ("batch_cancelled", "This request was not executed: the batch was cancelled."),
}


def _unserved(request: Request, why: Literal["expired", "cancelled"]) -> str:
    code, message = _UNSERVED[why]
    error = {"code": code, "message": message}
    line = {"id": f"batch_req_{request.custom_id}", "custom_id": request.custom_id}
    return json.dumps({**line, "response": None, "error": error})


def _page(found: Sequence[Told], asked: Asked) -> Json:
    """One page of a list that has the newest first, as cursors ask for it."""
    after, limit = asked.option("after"), asked.option("limit") or "20"
    if not limit.isdecimal() or not 1 <= int(limit) <= 10_000:
        raise Refused(400, "limit: a whole number from 1 up")
    ids = [one.id for one in found]
    if after is not None and after not in ids:
        raise Refused(404, f"after: there is no {after}")
    rest = found if after is None else found[ids.index(after) + 1 :]
    page = rest[: min(int(limit), _MOST_LISTED)]
    return {
        "object": "list",
        "data": [one.as_json() for one in page],
        "first_id": page[0].id if page else None,
        "last_id": page[-1].id if page else None,
        "has_more": len(rest) > len(page),
    }


def json_object(body: bytes) -> Json:
    """The object that a request's body holds; ``Refused`` 400 for any other."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, "the body is not JSON") from None
    if not isinstance(asked, dict):
        raise Refused(400, "the body is not a JSON object")
    return asked


def _metadata(asked: Json) -> dict[str, str]:
    found: Json = field(asked, "metadata", dict, {})
    if len(found) > 16:
        raise Refused(400, "metadata: at most 16 pairs")
    for key, value in found.items():
        if len(key) > 64 or not isinstance(value, str) or len(value) > 512:
            raise Refused(400, "metadata: keys of 64 characters, values of 512 at most")
    return found
