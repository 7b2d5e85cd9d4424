"""Batches as OpenAI has them, and whoever speaks its API: files, and batches of a file."""

import json
from collections.abc import Collection, Sequence
from typing import Literal

import openai
from openai.types import Batch

from tierqueue.workers.engines.batches import BatchRefused, Line, Output, Remote
from tierqueue.workers.engines.http import wire

ENDPOINT: Literal["/v1/chat/completions"] = "/v1/chat/completions"
NAME = "tierqueue"
"""The key among a batch's metadata under which its name stands."""

OVER = frozenset({"completed", "failed", "expired", "cancelled"})

REFUSED = frozenset({400, 413, 422})
"""Statuses of what the provider would refuse again."""

SECONDS = 60.0
"""How long a question may take."""

TRANSFER_SECONDS = 600.0
"""How long a file may."""

MOST_BYTES = 2 << 30
"""The largest file of lines that is read."""

SKEW = 3_600
"""Seconds by which the provider's clock may differ from ours."""


class OpenAIBatches:
    """The batches of one deployment."""

    def __init__(self, client: openai.AsyncOpenAI) -> None:
        self._client = client

    def line(self, key: str, body: bytes) -> bytes:
        """One request of an input file."""
        head = json.dumps({"custom_id": key, "method": "POST", "url": ENDPOINT})
        return head[:-1].encode() + b', "body": ' + body + b"}"

    async def upload(self, name: str, lines: Sequence[bytes]) -> str:
        """Send an input file."""
        given = (f"{NAME}-{name}.jsonl", b"\n".join(lines) + b"\n")
        try:
            file = await self._client.files.create(
                file=given, purpose="batch", timeout=TRANSFER_SECONDS
            )
        except openai.APIStatusError as error:
            raise _refused(error) from None
        return file.id

    async def create(
        self,
        name: str,
        input_file: str | None,
        lines: Sequence[bytes],  # noqa: ARG002 - they stand in the file
    ) -> Remote:
        """Have the batch served."""
        assert input_file is not None
        try:
            made = await self._client.batches.create(
                input_file_id=input_file,
                endpoint=ENDPOINT,
                completion_window="24h",
                metadata={NAME: name},
                timeout=SECONDS,
            )
        except openai.APIStatusError as error:
            raise _refused(error) from None
        return _remote(made)

    async def find(
        self,
        name: str,
        since: float,
        keys: Collection[str],  # noqa: ARG002 - a batch has its name among its metadata
        known: Collection[str],  # noqa: ARG002
    ) -> Remote | None:
        """The batch of that name, among those created since."""
        async for batch in self._client.batches.list(limit=100, timeout=SECONDS):
            if (batch.metadata or {}).get(NAME) == name:
                return _remote(batch)
            if batch.created_at < since - SKEW:
                return None
        return None

    async def look(self, remote: str) -> Remote:
        """How it stands."""
        return _remote(await self._client.batches.retrieve(remote, timeout=SECONDS))

    async def cancel(self, remote: str) -> None:
        """Have no more of it served; one that is over by now is left as it is."""
        try:
            await self._client.batches.cancel(remote, timeout=SECONDS)
        except openai.ConflictError:
            return

    async def lines(self, remote: Remote) -> Output:
        """Every line of its files."""
        found: list[Line] = []
        broken, simulated = 0, False
        token = wire.MOST.set(MOST_BYTES)
        try:
            for name in remote.output:
                file = await self._client.files.content(name, timeout=TRANSFER_SECONDS)
                simulated = wire.simulated(file.response)
                for text in file.content.split(b"\n"):
                    if text.strip():
                        line = _line(text)
                        broken += line is None
                        found += [] if line is None else [line]
        finally:
            wire.MOST.reset(token)
        return Output(found, broken, simulated)


def _refused(error: openai.APIStatusError) -> Exception:
    if error.status_code not in REFUSED:
        return error
    return BatchRefused(f"HTTP {error.status_code}")


def _remote(batch: Batch) -> Remote:
    errors = (batch.errors.data if batch.errors is not None else None) or []
    files = (batch.output_file_id, batch.error_file_id)
    return Remote(
        id=batch.id,
        state=str(batch.status),
        over=batch.status in OVER,
        output=tuple(name for name in files if name),
        refused=tuple(sorted({wire.name({"code": one.code}, "code") or "?" for one in errors})),
    )


def _line(text: bytes) -> Line | None:
    """One line; ``None`` where it cannot be read, whatever is wrong with it."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or not isinstance(key := said.get("custom_id"), str):
        return None
    response, error = said.get("response"), said.get("error")
    if isinstance(response, dict):
        status, body = response.get("status_code"), response.get("body")
        if not isinstance(status, int) or not 100 <= status <= 599 or not isinstance(body, dict):
            return None
        return Line(key=key, status=status, body=body)
    if isinstance(error, dict):
        return Line(key=key, code=wire.name(error, "code") or "?")
    return None
