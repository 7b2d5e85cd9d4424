"""Batches as other vendors have them: each under ``/as/NAME``, with its own words and refusals."""

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

from sandbox.batch import requests
from sandbox.batch.batch import OVER, Batch
from sandbox.batch.files import File
from sandbox.batch.message_batches import MessageBatches
from sandbox.batch.requests import ENDPOINT, Form, Request
from sandbox.batch.server import Answer, Batches, BatchRequest, Moved, json_object
from sandbox.batch.terms import Terms
from sandbox.log import Log
from sandbox.serving import Desk
from sandbox.wires.call import Json, Refused
from sandbox.wires.vendors import vendors
from sandbox.wires.wire import field
from sandbox.wires.wire_vendor import VendorWire

BATCHED = "-batch"
"""How the names of Azure's deployments end here that are of the kind Global Batch."""


class AzureBatches(Batches):
    """https://learn.microsoft.com/azure/foundry/openai/how-to/batch: a deployment of a kind of its
    own is asked, a file is looked through before a batch is made of it, nothing expires, tokens
    that do not fit are refused at once, and a new batch is told of in other forms.
    """

    form = Form(urls=(ENDPOINT, "/chat/completions"))
    endpoints = ("/chat/completions",)
    window = math.inf

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._validated: set[str] = set()

    def _routed(self, asked: BatchRequest, path: list[str], now: float) -> Answer:
        answer = super()._routed(asked, path, now)
        if (asked.method, *path) == ("POST", "batches") and isinstance(answer, dict):
            created = datetime.fromtimestamp(answer["created_at"], UTC).isoformat()
            nothing = dict.fromkeys(("total", "completed", "failed"))
            return {
                **answer,
                "created_at": created,
                "request_counts": nothing,
                "status": answer["status"].capitalize(),
            }
        if (asked.method, *path) == ("POST", "files") and isinstance(answer, dict):
            return {**answer, "status": "pending"}
        if (asked.method, *path[:1]) == ("GET", "files") and isinstance(answer, dict):
            self._validated |= {str(answer.get("id"))}
        return answer

    def _made(self, file: File, metadata: dict[str, str], now: float, model: str | None) -> Batch:
        if file.purpose == "batch" and file.id not in self._validated:
            raise Refused(400, f"File {file.id} is not in the processed state.")
        return super()._made(file, metadata, now, model)

    def _admit(self, batch: Batch) -> None:
        if not batch.model.endswith(BATCHED):
            raise requests.Invalid(
                [{"code": "invalid_request", "message": "The deployment SKU is invalid for batch."}]
            )
        try:
            super()._admit(batch)
        except requests.Invalid as full:
            raise Refused(400, full.errors[0]["message"], code="token_limit_exceeded") from None

    def _batch_json(self, batch: Batch) -> Json:
        if batch.status in OVER and batch.error_file is None:
            empty = self._files.add(f"{batch.id}_error.jsonl", "batch_output", b"", batch.created)
            batch.error_file = empty.id
        return batch.as_json()

    def _unserved(self, request: Request, why: Literal["expired", "cancelled"]) -> str:  # noqa: ARG002
        return ""


_STATES = {
    "validating": "QUEUED",
    "in_progress": "RUNNING",
    "finalizing": "RUNNING",
    "completed": "SUCCESS",
    "failed": "FAILED",
    "expired": "TIMEOUT_EXCEEDED",
    "cancelling": "CANCELLATION_REQUESTED",
    "cancelled": "CANCELLED",
}
"""Mistral's words for the states of a batch."""


class MistralBatches(Batches):
    """https://docs.mistral.ai/studio-api/batch-processing: jobs, which name the model for all their
    lines; what was not served has no line anywhere.
    """

    form = Form(keys=frozenset({"custom_id", "body"}), urls=())
    asked = frozenset({"input_files", "endpoint", "model", "metadata", "timeout_hours"})

    def serves(self, path: str) -> bool:
        """Whether a request for this path is for here."""
        return path.startswith((f"{self.base}/files", f"{self.base}/batch/jobs"))

    def _routed(self, asked: BatchRequest, path: list[str], now: float) -> Answer:
        match (asked.method, *path):
            case ("POST", "batch", "jobs"):
                return self._batch_json(self._create(asked.body, now))
            case ("GET", "batch", "jobs"):
                return self._paged(asked)
            case ("GET", "batch", "jobs", key):
                return self._batch_json(self._batch(key))
            case ("POST", "batch", "jobs", key, "cancel"):
                return self._batch_json(self._cancel(self._batch(key), now))
            case (_, "files", *_):
                return super()._routed(asked, path, now)
        raise Refused(404, f"no Route matched with those values: {asked.method} {asked.path}")

    def _create(self, body: bytes, now: float) -> Batch:
        asked = json_object(body)
        if unknown := sorted(asked.keys() - self.asked):
            raise Refused(422, "Extra inputs are not permitted", param=unknown[0])
        if asked.get("endpoint") not in self.endpoints:
            raise Refused(422, "Input should be one of the endpoints of batches", param="endpoint")
        files, model = field(asked, "input_files", list, []), field(asked, "model", str, "")
        if len(files) != 1 or not model:
            raise Refused(422, "input_files and model are required", param="model")
        hours = field(asked, "timeout_hours", int, 24)
        if not 1 <= hours <= 168:
            raise Refused(422, "Input should be from 1 to 168", param="timeout_hours")
        self.window = hours * 3600.0
        metadata = field(asked, "metadata", dict, {})
        return self._made(self._files.get(str(files[0])), metadata, now, model)

    def _paged(self, asked: BatchRequest) -> Json:
        page, size = int(asked.option("page") or 0), int(asked.option("page_size") or 100)
        if asked.option("order_by") != "-created":
            raise Refused(422, "the sandbox lists the newest first: -created", param="order_by")
        found = list(reversed(self._batches.values()))
        shown = found[page * size : (page + 1) * size]
        return {
            "object": "list",
            "data": [self._batch_json(batch) for batch in shown],
            "total": len(found),
        }

    def _batch_json(self, batch: Batch) -> Json:
        return {
            "id": batch.id,
            "object": "batch",
            "input_files": [batch.input_file],
            "metadata": batch.metadata,
            "endpoint": ENDPOINT,
            "model": batch.model,
            "output_file": batch.output_file,
            "error_file": batch.error_file,
            "errors": [{"message": one["message"], "count": 1} for one in batch.errors],
            "status": _STATES[batch.status],
            "created_at": int(batch.created),
            "total_requests": len(batch.requests),
            "completed_requests": batch.completed + batch.failed,
            "succeeded_requests": batch.completed,
            "failed_requests": batch.failed,
        }

    def _unserved(self, request: Request, why: Literal["expired", "cancelled"]) -> str:  # noqa: ARG002
        return ""


class TogetherBatches(Batches):
    """https://docs.together.ai/docs/inference/batch/manage: files of a purpose of their own, whose
    contents stand in a store elsewhere, and batches without metadata in one plain list.
    """

    form = Form(purpose="batch-api")
    asked = frozenset({"input_file_id", "endpoint", "completion_window", "model_id", "priority"})

    def serves(self, path: str) -> bool:
        """Whether a request for this path is for here."""
        return super().serves(path) or path.startswith(f"{self.base}/store/")

    def answer(self, asked: BatchRequest) -> Answer:
        """The reply; the store asks for no key. Raises ``Refused``."""
        store = f"{self.base}/store/"
        if asked.path.startswith(store):
            if asked.key:
                raise Refused(403, "a key was sent to the store")
            return self._files.get(asked.path.removeprefix(store)).content
        return super().answer(asked)

    def _routed(self, asked: BatchRequest, path: list[str], now: float) -> Answer:
        match (asked.method, *path):
            case ("POST", "files", "upload"):
                file = self._files.upload(asked.kind, asked.body, now, self.form.purpose)
                return self._file(file)
            case ("POST", "files"):
                raise Refused(400, "files are sent to /files/upload")
            case ("GET", "files", key, "content"):
                return Moved(f"{self.base}/store/{self._files.get(key).id}")
            case ("POST", "batches"):
                return {"job": self._batch_json(self._create(asked.body, now)), "warning": ""}
            case ("GET", "batches"):
                return [self._batch_json(batch) for batch in self._batches.values()]
        return super()._routed(asked, path, now)

    def _batch_json(self, batch: Batch) -> Json:
        return {
            "id": batch.id,
            "input_file_id": batch.input_file,
            "status": batch.status.upper().replace("FINALIZING", "IN_PROGRESS"),
            "created_at": datetime.fromtimestamp(batch.created, UTC).isoformat(),
            "endpoint": ENDPOINT,
            "progress": 100 if batch.status in OVER else 50,
            "model_id": batch.model,
            "output_file_id": batch.output_file,
            "error_file_id": batch.error_file,
            "error": json.dumps(batch.errors) if batch.errors else None,
        }


def all_batches(desk: Desk, log: Log, terms: Terms) -> list[Batches | MessageBatches]:
    """Whatever batches are served here."""
    kinds: dict[str, Callable[..., Batches]] = {
        "openai": Batches,
        "azure": AzureBatches,
        "mistral": MistralBatches,
        "together": TogetherBatches,
        "groq": Batches,
    }
    known = vendors()
    return [
        Batches(desk, log, terms),
        MessageBatches(desk, log, terms),
        *(
            kind(desk, log, terms, f"/as/{name}{known[name].path}", VendorWire(known[name]))
            for name, kind in kinds.items()
        ),
    ]
