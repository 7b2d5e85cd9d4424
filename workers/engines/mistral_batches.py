"""Batches as Mistral has them: jobs over a file, which name the model for all their lines.

https://docs.mistral.ai/studio-api/batch-processing and the jobs of its SDK.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from tierqueue.workers.engines.file_batches import NAME, FileBatches, Told, batches_of

PAGE = 100
"""Jobs of one page of their list."""

OVER: Mapping[str, str | None] = {
    "success": None,
    "failed": None,
    "timeout_exceeded": "batch_expired",
    "cancelled": "batch_cancelled",
}


class MistralBatches(FileBatches):
    """The batch jobs of one deployment."""

    path = "/batch/jobs"
    over = OVER

    def line(self, key: str, body: bytes) -> bytes:
        """One request of an input file: the model is the job's."""
        asked = json.loads(body)
        asked.pop("model", None)
        return json.dumps({"custom_id": key, "body": asked}).encode()

    def _creation(self, name: str, input_file: str) -> dict[str, Any]:
        return {
            "input_files": [input_file],
            "endpoint": self.endpoint,
            "model": self._model,
            "metadata": {NAME: name},
            "timeout_hours": 24,
        }

    def _inputs(self, batch: Told) -> Sequence[Any]:
        found = batch.get("input_files")
        return found if isinstance(found, list) else []

    async def _pages(self) -> AsyncIterator[Sequence[Told]]:
        page = 0
        while True:
            asked = {"page": page, "page_size": PAGE, "order_by": "-created"}
            found = batches_of(await self._get(self.path, asked))
            if not found:  # a page may be shorter than was asked for
                return
            yield found
            page += 1

    def _why(self, batch: Told, counts: Sequence[int]) -> tuple[str, ...]:  # noqa: ARG002
        """It gives messages and no codes."""
        return ("job_failed",)

    def _counts(self, batch: Told) -> Sequence[Any]:
        return batch.get("succeeded_requests"), batch.get("failed_requests")
