"""``/v1/messages/batches``: Anthropic's, with their requests in the call and one file of results.

https://docs.claude.com/en/docs/build-with-claude/batch-processing: a batch is ``in_progress``,
``canceling`` or ``ended``; each result is ``succeeded``, ``errored``, ``canceled`` or ``expired``,
and the counts are told once it has ended. A batch has no metadata.
"""

import json
import re
from datetime import UTC, datetime
from typing import Literal

from sandbox.batch.batch import OVER, Batch
from sandbox.batch.files import Files
from sandbox.batch.requests import Request
from sandbox.batch.server import BatchRequest, json_object
from sandbox.batch.serving import Counter
from sandbox.batch.terms import Terms
from sandbox.log import Log
from sandbox.serving import Desk
from sandbox.wires.call import Call, Json, Refused
from sandbox.wires.wire import field
from sandbox.wires.wire_anthropic import AnthropicWire

PATH = "/v1/messages/batches"
MOST_BYTES = 256_000_000
MOST_REQUESTS = 100_000
_WIRE = AnthropicWire()
_STATUS = {"validating": "in_progress", "in_progress": "in_progress", "cancelling": "canceling"}


class MessageBatches:
    """All message batches while the process lives."""

    wire = _WIRE

    def __init__(self, desk: Desk, log: Log, terms: Terms) -> None:
        self._terms = terms
        self._counter = Counter(
            desk, log, terms, _WIRE, _served, lambda refused: _WIRE.error(refused, "")
        )
        self._files = Files()
        self._batches: dict[str, Batch] = {}

    def serves(self, path: str) -> bool:
        """Whether a request for this path is for here."""
        return path.startswith(PATH)

    def answer(self, asked: BatchRequest) -> Json | bytes:
        """The reply: JSON, or the results. Raises ``Refused``."""
        if not asked.key:
            raise Refused(401, "the sandbox wants a key too: any that is not empty")
        now = self._terms.now()
        for batch in self._batches.values():
            batch.advance(now, self._files)
        match (asked.method, *asked.path.removeprefix(PATH).split("/")):
            case ("POST", ""):
                return self._as_json(self._create(asked.body, now))
            case ("GET", ""):
                return self._page(asked)
            case ("GET", "", key):
                return self._as_json(self._batch(key))
            case ("GET", "", key, "results"):
                return self._results(self._batch(key))
            case ("POST", "", key, "cancel"):
                return self._as_json(self._cancel(self._batch(key), now))
        raise Refused(404, f"the sandbox has no {asked.method} {asked.path}")

    def _batch(self, key: str) -> Batch:
        batch = self._batches.get(key)
        if batch is None:
            raise Refused(404, f"message batch {key!r} not found")
        return batch

    def _create(self, body: bytes, now: float) -> Batch:
        if len(body) > min(MOST_BYTES, self._terms.bytes):
            raise Refused(413, "Request exceeds the maximum size")
        asked = json_object(body)
        if unknown := sorted(asked.keys() - {"requests"}):
            raise Refused(400, f"{unknown[0]}: Extra inputs are not permitted")
        given = field(asked, "requests", list, [])
        if not 1 <= len(given) <= min(MOST_REQUESTS, self._terms.requests):
            raise Refused(400, "requests: from 1 to 100,000 are taken")
        found = [_request(one) for one in given]
        if len({one.custom_id for one in found}) < len(found):
            raise Refused(400, "requests: custom_id must be unique")
        number = len(self._batches) + 1
        batch = Batch(
            id=f"msgbatch_sandbox_{number}",
            input_file="",
            metadata={},
            created=now,
            seconds=self._terms.seconds(number),
            cancelling=self._terms.cancelling,
            serve=self._counter.serve,
            unserved=_unserved,
            requests=found,
        )
        self._batches[batch.id] = batch
        return batch

    def _cancel(self, batch: Batch, now: float) -> Batch:
        if batch.status in OVER:
            raise Refused(400, f"Batch {batch.id} has already ended")
        if batch.status != "cancelling":
            batch.cancel(now)
            batch.advance(now, self._files)
        return batch

    def _results(self, batch: Batch) -> bytes:
        if batch.status not in OVER:
            raise Refused(404, f"Batch {batch.id} has no results: it has not ended")
        files = [key for key in (batch.output_file, batch.error_file) if key is not None]
        return b"".join(self._files.get(key).content for key in files)

    def _page(self, asked: BatchRequest) -> Json:
        """Newest first; ``after_id`` goes on behind one."""
        after, limit = asked.option("after_id"), asked.option("limit") or "20"
        if not limit.isdecimal() or not 1 <= int(limit) <= 1_000:
            raise Refused(400, "limit: from 1 to 1000")
        found = list(reversed(self._batches.values()))
        if after is not None:
            found = found[found.index(self._batch(after)) + 1 :]
        page = found[: int(limit)]
        return {
            "data": [self._as_json(batch) for batch in page],
            "first_id": page[0].id if page else None,
            "last_id": page[-1].id if page else None,
            "has_more": len(found) > len(page),
        }

    def _as_json(self, batch: Batch) -> Json:
        over = batch.status in OVER
        left = {"expired": 0, "cancelled": 0}
        if over and batch.status in left:
            left[batch.status] = batch.left
        size = len(batch.requests)
        return {
            "id": batch.id,
            "type": "message_batch",
            "processing_status": "ended" if over else _STATUS[batch.status],
            "request_counts": {
                "processing": 0 if over else size,
                "succeeded": batch.completed if over else 0,
                "errored": batch.failed - sum(left.values()) if over else 0,
                "canceled": left["cancelled"],
                "expired": left["expired"],
            },
            "created_at": _moment(batch.created),
            "expires_at": _moment(batch.expires),
            "ended_at": _moment(batch.at[batch.status]) if over else None,
            "cancel_initiated_at": _moment(batch.at.get("cancelling")),
            "archived_at": None,
            "results_url": f"{PATH}/{batch.id}/results" if over else None,
        }


def _request(given: Json) -> Request:
    if not isinstance(given, dict) or given.keys() != {"custom_id", "params"}:
        raise Refused(400, "requests: each has a custom_id and params")
    key = given["custom_id"]
    if not isinstance(key, str) or re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", key) is None:
        raise Refused(400, "requests: custom_id has 1 to 64 letters, digits, '_' and '-'")
    if not isinstance(given["params"], dict):
        raise Refused(400, "requests: params is an object")
    call: Call | Refused
    try:
        call = _WIRE.read(given["params"])
    except Refused as refused:
        call = refused
    return Request(key, call)


def _served(request: Request, status: int, body: Json, _: int) -> Json:
    result = {"type": "succeeded", "message": body}
    if status != 200:
        result = {"type": "errored", "error": body}
    return {"custom_id": request.custom_id, "result": result}


def _unserved(request: Request, why: Literal["expired", "cancelled"]) -> str:
    kind = "expired" if why == "expired" else "canceled"
    return json.dumps({"custom_id": request.custom_id, "result": {"type": kind}})


def _moment(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat()
