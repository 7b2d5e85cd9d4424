"""Message batches as Anthropic has them: their requests in the call, their results in one file.

A batch has no name there, so that it is found again by what it holds: the ids of its requests stand
in its results.
"""

import json
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any, cast

import anthropic
import httpx2
from anthropic.types.messages import MessageBatch
from anthropic.types.messages.batch_create_params import Request

from tierqueue.workers.engines.batches import (
    BatchOutput,
    BatchRefused,
    NotKnownYet,
    NotUnderstood,
    RemoteBatch,
    ResultLine,
)
from tierqueue.workers.engines.http import files

REFUSED = frozenset({400, 413, 422})
"""Statuses of what would be refused again."""

SECONDS = 60.0
"""How long a question may take."""

TRANSFER_SECONDS = 600.0
"""How long requests and results may."""

MOST_PAGES = 100
"""Pages of a list that are looked through for a batch, at the most."""

SKEW_SECONDS = 300
"""Seconds by which Anthropic's clock may differ from ours."""

STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The statuses with which a live call would have met these errors."""


class AnthropicBatches:
    """The message batches of one deployment."""

    def __init__(self, client: anthropic.AsyncAnthropic) -> None:
        self._client = client

    def line(self, key: str, body: bytes) -> bytes:
        """One request."""
        return json.dumps({"custom_id": key})[:-1].encode() + b', "params": ' + body + b"}"

    async def upload(self, name: str, lines: Sequence[bytes]) -> str | None:  # noqa: ARG002
        """Nothing: requests travel with the call that creates the batch."""
        return None

    async def ready(self, input_file: str) -> bool:  # noqa: ARG002 - it has none
        """Whether a batch can be made of a file."""
        return True

    async def create(
        self,
        name: str,  # noqa: ARG002 - it has no place for one
        input_file: str | None,  # noqa: ARG002
        lines: Sequence[bytes],
    ) -> RemoteBatch:
        """Have the batch served."""
        requests = [cast(Request, json.loads(line)) for line in lines]
        try:
            made = await self._client.messages.batches.create(
                requests=requests, timeout=TRANSFER_SECONDS
            )
        except anthropic.APIStatusError as error:
            if error.status_code in REFUSED:
                raise BatchRefused(f"HTTP {error.status_code}") from None
            raise
        return _remote(made)

    async def find(
        self,
        name: str,
        input_file: str | None,
        since: float,
        keys: Collection[str],
        known: Collection[str],
    ) -> RemoteBatch | None:
        """The batch of these requests. Raises ``NotKnownYet`` while one that may be it runs."""
        del name, input_file
        running = False
        async for batch in self._list():
            if batch.created_at.timestamp() < since - SKEW_SECONDS:
                break
            told = batch.request_counts
            size = told.processing + told.succeeded + told.errored + told.canceled + told.expired
            if batch.id in known or size != len(keys):
                continue
            if batch.processing_status != "ended":
                running = True
                continue
            found = _remote(batch)
            if any(line.key in keys for line in (await self.lines(found)).lines):
                return found
        if running:
            raise NotKnownYet
        return None

    async def _list(self) -> AsyncIterator[MessageBatch]:
        """All batches, the newest first. Raises ``NotKnownYet`` where it is no list, and where more
        are said to be there than are shown.
        """
        after: str | None = None
        for _ in range(MOST_PAGES):
            asked = anthropic.omit if after is None else after
            page = await self._client.messages.batches.list(
                limit=100, after_id=asked, timeout=SECONDS
            )
            found = getattr(page, "data", None)
            if not isinstance(found, list):
                raise NotKnownYet
            for batch in found:
                yield batch
            last = found[-1].id if found else None
            if page.has_more is False or (page.has_more is None and last in (None, after)):
                return
            if last in (None, after):
                break
            after = last
        raise NotKnownYet

    async def check(self, remote: str) -> RemoteBatch:
        """How it stands."""
        return _remote(await self._client.messages.batches.retrieve(remote, timeout=SECONDS))

    async def cancel(self, remote: str) -> None:
        """Have no more of it served; one that has ended is left as it is."""
        try:
            await self._client.messages.batches.cancel(remote, timeout=SECONDS)
        except (anthropic.BadRequestError, anthropic.ConflictError):
            return

    async def lines(self, remote: RemoteBatch) -> BatchOutput:
        """Every result."""
        return await files.read(remote.output, self._content, _line)

    async def _content(self, name: str) -> httpx2.Response:
        try:
            # As bytes: the SDK's own reader gives up at the first line that is none.
            return await self._client.get(
                f"/v1/messages/batches/{files.segment(name)}/results",
                cast_to=httpx2.Response,
                options={"timeout": TRANSFER_SECONDS},
            )
        except anthropic.APIStatusError as error:
            return await files.elsewhere(error.response, TRANSFER_SECONDS)


def _remote(batch: MessageBatch) -> RemoteBatch:
    if not isinstance(getattr(batch, "id", None), str) or not batch.id:
        raise NotUnderstood("a message batch without an id")
    over = batch.processing_status == "ended"
    return RemoteBatch(
        id=batch.id,
        state=str(batch.processing_status),
        over=over,
        output=(batch.id,) if over and batch.results_url else (),
    )


def _line(text: bytes) -> ResultLine | None:
    """One result; ``None`` where it cannot be read, whatever is wrong with it."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    result: Any = said.get("result") if isinstance(said, dict) else None
    if not isinstance(result, dict) or not isinstance(key := said.get("custom_id"), str):
        return None
    match result.get("type"):
        case "succeeded" if isinstance(message := result.get("message"), dict):
            return ResultLine(key=key, status=200, body=message)
        case "errored" if isinstance(error := result.get("error"), dict):
            kind = error.get("error")
            named = kind.get("type") if isinstance(kind, dict) else None
            return ResultLine(key=key, status=STATUSES.get(str(named), 500), body=error)
        case "canceled" | "expired" as code:
            return ResultLine(key=key, code=code)
    return None
