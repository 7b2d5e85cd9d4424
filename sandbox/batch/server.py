"""``/v1/files`` and ``/v1/batches`` over HTTP, and how a batch's requests are served and billed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qs

from sandbox.batch import requests
from sandbox.batch.batch import OVER, Batch
from sandbox.batch.files import File, Files
from sandbox.batch.requests import ENDPOINT, OPENAI, Invalid, Request
from sandbox.batch.serving import Counter
from sandbox.batch.terms import WINDOW, Terms
from sandbox.log import Log
from sandbox.serving import Desk
from sandbox.wires.call import Json, Refused
from sandbox.wires.wire import Wire, field
from sandbox.wires.wire_openai import OpenAIWire

_MOST_LISTED = 100


@dataclass(frozen=True, slots=True)
class Moved:
    """What was asked for stands there, for whoever asks."""

    location: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRequest:
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


Answer = Json | list[Json] | bytes | Moved


class Batches:
    """All files and batches while the process lives, as OpenAI has them below ``base``."""

    form = OPENAI
    endpoints: tuple[str, ...] = (ENDPOINT,)
    asked = frozenset(
        {"input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after"}
    )
    window = WINDOW

    def __init__(
        self, desk: Desk, log: Log, terms: Terms, base: str = "/v1", wire: Wire | None = None
    ) -> None:
        self.base = base
        self.wire: Wire = wire or OpenAIWire()
        self._wired = OpenAIWire()
        self._desk = desk
        self._counter = Counter(
            desk,
            log,
            terms,
            self.wire,
            _served,
            lambda refused: {"error": self._wired.as_json(refused)},
        )
        self._terms = terms
        self._files = Files()
        self._batches: dict[str, Batch] = {}

    def serves(self, path: str) -> bool:
        """Whether a request for this path is for here."""
        return path.startswith((f"{self.base}/files", f"{self.base}/batches"))

    def answer(self, asked: BatchRequest) -> Answer:
        """The reply: JSON, or a file's content. Raises ``Refused``."""
        if not asked.key:
            raise Refused(401, "the sandbox wants a key too: any that is not empty")
        now = self._terms.now()
        for batch in self._batches.values():
            batch.advance(now, self._files)
        return self._routed(asked, asked.path.removeprefix(f"{self.base}/").split("/"), now)

    def _routed(self, asked: BatchRequest, path: list[str], now: float) -> Answer:
        match (asked.method, *path):
            case ("POST", "files"):
                return self._file(self._files.upload(asked.kind, asked.body, now))
            case ("GET", "files"):
                found = self._files.newest_first(asked.option("purpose"))
                return _page([self._file(file) for file in found], asked)
            case ("GET", "files", key):
                return self._file(self._files.get(key))
            case ("DELETE", "files", key):
                self._files.delete(key)
                return {"id": key, "object": "file", "deleted": True}
            case ("GET", "files", key, "content"):
                return self._files.get(key).content
            case ("POST", "batches"):
                return self._batch_json(self._create(asked.body, now))
            case ("GET", "batches"):
                found_batches = reversed(self._batches.values())
                return _page([self._batch_json(batch) for batch in found_batches], asked)
            case ("GET", "batches", key):
                return self._batch_json(self._batch(key))
            case ("POST", "batches", key, "cancel"):
                return self._batch_json(self._cancel(self._batch(key), now))
        raise Refused(404, f"the sandbox has no {asked.method} {asked.path}")

    def _file(self, file: File) -> Json:
        return file.as_json()

    def _batch_json(self, batch: Batch) -> Json:
        return batch.as_json()

    def _batch(self, key: str) -> Batch:
        batch = self._batches.get(key)
        if batch is None:
            raise Refused(404, f"No batch found with id '{key}'.")
        return batch

    def _create(self, body: bytes, now: float) -> Batch:
        asked = json_object(body)
        if unknown := sorted(asked.keys() - self.asked):
            raise Refused(400, f"Unknown parameter: '{unknown[0]}'.")
        if asked.get("endpoint") not in self.endpoints:
            raise Refused(400, f"endpoint: the sandbox serves {self.endpoints[0]} in batches")
        if asked.get("completion_window") != "24h":
            raise Refused(400, "completion_window: the one value is '24h'")
        file = self._files.get(field(asked, "input_file_id", str, ""))
        return self._made(file, _metadata(asked), now, None)

    def _made(self, file: File, metadata: dict[str, str], now: float, model: str | None) -> Batch:
        """A batch of that file; ``model``: the batch names it for all its lines."""
        if file.purpose != self.form.purpose:
            own = self.form.purpose
            raise Refused(400, f"the purpose of {file.id} is {file.purpose!r}, not {own!r}")
        number = len(self._batches) + 1
        batch = Batch(
            id=f"batch_sandbox_{number}",
            input_file=file.id,
            metadata=metadata,
            created=now,
            seconds=self._terms.seconds(number),
            cancelling=self._terms.cancelling,
            serve=self._counter.serve,
            unserved=self._unserved,
            window=self.window,
        )
        try:
            told = requests.read(file.content, self.wire, self._terms, self.form, model)
            batch.model, batch.requests, batch.tokens = told
            self._admit(batch)
        except Invalid as wrong:
            batch.requests = []
            batch.fail(wrong.errors, now)
        except Refused as refused:
            if refused.code is not None:
                raise
            error = {"code": "model_not_found", "message": refused.message, "param": "body.model"}
            batch.requests = []
            batch.fail([{**error, "line": 1}], now)
        self._batches[batch.id] = batch
        return batch

    def _admit(self, batch: Batch) -> None:
        """Raises ``Invalid`` where its tokens do not fit beside the others', ``Refused`` where
        there is no such model.
        """
        self._desk.model(batch.model)
        limit = self._terms.enqueued_tokens
        if limit is not None and batch.tokens + self._enqueued(batch.model) > limit:
            raise requests.enqueued(batch.model, limit)

    def _unserved(self, request: Request, why: Literal["expired", "cancelled"]) -> str:
        return _unserved(request, why)

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


def _page(found: Sequence[Json], asked: BatchRequest) -> Json:
    """One page of a list that has the newest first, as cursors ask for it."""
    after, limit = asked.option("after"), asked.option("limit") or "20"
    if not limit.isdecimal() or not 1 <= int(limit) <= 10_000:
        raise Refused(400, "limit: a whole number from 1 up")
    ids = [one["id"] for one in found]
    if after is not None and after not in ids:
        raise Refused(404, f"after: there is no {after}")
    rest = found if after is None else found[ids.index(after) + 1 :]
    page = rest[: min(int(limit), _MOST_LISTED)]
    return {
        "object": "list",
        "data": list(page),
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
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
