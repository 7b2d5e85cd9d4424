"""Batches as OpenAI has them, and whoever speaks its API: files, and batches of a file."""

from typing import Any

from tierqueue.workers.engines.batches import BatchRefused
from tierqueue.workers.engines.file_batches import NAME, SECONDS, FileBatches
from tierqueue.workers.engines.http import wire


class OpenAIBatches(FileBatches):
    """The batches of one deployment."""

    def _creation(self, name: str, input_file: str) -> dict[str, Any]:
        return {
            "input_file_id": input_file,
            "endpoint": self.endpoint,
            "completion_window": "24h",
            "metadata": {NAME: name},
        }


class AzureBatches(OpenAIBatches):
    """The same at Azure: of a deployment of the kind Global Batch or Data Zone Batch, and without
    an end of their own; a file is looked through before a batch is made of it.

    https://learn.microsoft.com/azure/foundry/openai/how-to/batch
    """

    def _creation(self, name: str, input_file: str) -> dict[str, Any]:
        # Its guide says the path of the batch without the version that stands in each line.
        return super()._creation(name, input_file) | {"endpoint": "/chat/completions"}

    async def ready(self, input_file: str) -> bool:
        """Whether the file was looked through. Raises ``BatchRefused`` where it cannot be used."""
        file = await self._client.files.with_raw_response.retrieve(input_file, timeout=SECONDS)
        state = str(wire.body_of(file.http_response).get("status")).lower()
        if state in ("error", "failed", "deleted"):
            raise BatchRefused(f"file {state}")
        return state == "processed"
