"""Batches as Together has them: of files for this purpose, without metadata, in a plain list.

https://docs.together.ai/docs/inference/batch/manage and the pages of its reference.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx2

from tierqueue.workers.engines.batches import NotKnownYet
from tierqueue.workers.engines.file_batches import SECONDS, TRANSFER_SECONDS, FileBatches, Told
from tierqueue.workers.engines.http import wire


class TogetherBatches(FileBatches):
    """The batches of one deployment."""

    async def _upload(self, name: str, content: bytes) -> Told:
        sent = await self._client.post(
            "/files/upload",
            body={"purpose": "batch-api", "file_name": name, "file_type": "jsonl"},
            files=[("file", (name, content))],
            cast_to=httpx2.Response,
            options={
                "timeout": TRANSFER_SECONDS,
                "headers": {"Content-Type": "multipart/form-data"},
            },
        )
        return wire.body_of(sent)

    def _creation(self, name: str, input_file: str) -> dict[str, Any]:
        del name
        return {
            "input_file_id": input_file,
            "endpoint": self.endpoint,
            "completion_window": "24h",
        }

    def _created(self, told: Told) -> Told:
        made = told.get("job")
        return made if isinstance(made, dict) else told

    async def _pages(self) -> AsyncIterator[Sequence[Told]]:
        response = await self._client.get(
            self.path, cast_to=httpx2.Response, options={"timeout": SECONDS}
        )
        found = wire.json_of(response)
        if not isinstance(found, list) or not all(isinstance(batch, dict) for batch in found):
            raise NotKnownYet
        yield found

    def _why(self, batch: Told, counts: Sequence[int]) -> tuple[str, ...]:  # noqa: ARG002
        """It gives a message and no code."""
        return ("job_failed",)
