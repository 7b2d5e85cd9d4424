"""Batches of an uploaded file: what the wires of those who take one have in common.

Each reply is read as JSON, whatever the SDK makes of it: what cannot be understood of a batch that
may be billed is never taken for none.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import httpx2
import openai

from tierqueue.workers.engines.batches import (
    BatchOutput,
    BatchRefused,
    NotKnownYet,
    NotUnderstood,
    RemoteBatch,
    ResultLine,
)
from tierqueue.workers.engines.http import files, wire

NAME = "tierqueue"
"""The key among a batch's metadata under which its name stands."""

REFUSED = frozenset({400, 413, 422})
"""Statuses of what the provider would refuse again."""

SECONDS = 60.0
"""How long a question may take."""

TRANSFER_SECONDS = 600.0
"""How long a file may."""

MOST_LISTED = 10_000
"""How many batches are looked through for one, at the most."""

SKEW_SECONDS = 3_600
"""Seconds by which the provider's clock may differ from ours."""

Told = Mapping[str, Any]
"""A batch as its provider tells of it."""


class FileBatches(ABC):
    """The batches of one deployment, whose provider calls the model ``model`` in them."""

    path = "/batches"
    endpoint = "/v1/chat/completions"
    over: Mapping[str, str | None] = {
        "completed": None,
        "failed": None,
        "expired": "batch_expired",
        "cancelled": "batch_cancelled",
    }
    """The states in which nothing more is served, and why what has no line then was not."""

    def __init__(self, client: openai.AsyncOpenAI, model: str) -> None:
        self._client = client
        self._model = model

    def line(self, key: str, body: bytes) -> bytes:
        """One request of an input file."""
        head = json.dumps({"custom_id": key, "method": "POST", "url": self.endpoint})
        return head[:-1].encode() + b', "body": ' + body + b"}"

    async def upload(self, name: str, lines: Sequence[bytes]) -> str:
        """Send an input file."""
        content = b"\n".join(lines) + b"\n"
        try:
            file = await self._upload(f"{NAME}-{name}.jsonl", content)
        except openai.APIStatusError as error:
            raise _refused(error) from None
        return _named(file, "id")

    async def _upload(self, name: str, content: bytes) -> Told:
        sent = await self._client.files.with_raw_response.create(
            file=(name, content), purpose="batch", timeout=TRANSFER_SECONDS
        )
        return wire.body_of(sent.http_response)

    async def ready(self, input_file: str) -> bool:  # noqa: ARG002 - most take a file as it comes
        """Whether a batch can be made of the file now."""
        return True

    async def create(
        self,
        name: str,
        input_file: str | None,
        lines: Sequence[bytes],  # noqa: ARG002 - they stand in the file
    ) -> RemoteBatch:
        """Have the batch served."""
        assert input_file is not None
        try:
            made = await self._client.post(
                self.path,
                body=self._creation(name, input_file),
                cast_to=httpx2.Response,
                options={"timeout": SECONDS},
            )
        except openai.APIStatusError as error:
            raise _refused(error) from None
        try:
            return self._remote(self._created(wire.body_of(made)))
        except (wire.Unreadable, NotUnderstood):
            raise NotUnderstood("a batch was made, and the reply does not say which") from None

    @abstractmethod
    def _creation(self, name: str, input_file: str) -> dict[str, Any]:
        """What a batch is asked for with."""

    def _created(self, told: Told) -> Told:
        """The batch in the reply to that."""
        return told

    async def find(
        self,
        name: str,
        input_file: str | None,
        since: float,
        keys: Collection[str],  # noqa: ARG002 - a batch has its name and its file
        known: Collection[str],  # noqa: ARG002
    ) -> RemoteBatch | None:
        """The batch of that name or of that file, among those created since."""
        seen = 0
        async for page in self._pages():
            for batch in page:
                metadata = batch.get("metadata")
                named = metadata.get(NAME) if isinstance(metadata, dict) else None
                if named == name or (input_file is not None and input_file in self._inputs(batch)):
                    return self._remote(batch)
            seen += len(page)
            if seen >= MOST_LISTED:
                raise NotKnownYet
            if _ends_before(page, since - SKEW_SECONDS):
                return None
        return None

    def _inputs(self, batch: Told) -> Sequence[Any]:
        """The ids of its input files."""
        return [batch.get("input_file_id")]

    async def _pages(self) -> AsyncIterator[Sequence[Told]]:
        """All batches, a page at a time. Raises ``NotKnownYet`` where it is no list."""
        after: str | None = None
        while True:
            asked = {"limit": 100, **({} if after is None else {"after": after})}
            page = await self._get(self.path, asked)
            found = batches_of(page)
            yield found
            last, more = found[-1].get("id") if found else None, page.get("has_more")
            if more is False or (more is None and (not found or last == after)):
                return
            if not isinstance(last, str) or last == after:
                raise NotKnownYet
            after = last

    async def _get(self, path: str, query: Mapping[str, object] | None = None) -> dict[str, Any]:
        response = await self._client.get(
            path,
            cast_to=httpx2.Response,
            options={"timeout": SECONDS, "params": dict(query or {})},
        )
        return wire.body_of(response)

    async def check(self, remote: str) -> RemoteBatch:
        """How it stands."""
        return self._remote(await self._get(f"{self.path}/{files.segment(remote)}"))

    async def cancel(self, remote: str) -> None:
        """Have no more of it served; one that is over by now is left as it is."""
        try:
            await self._client.post(
                f"{self.path}/{files.segment(remote)}/cancel",
                cast_to=httpx2.Response,
                options={"timeout": SECONDS},
            )
        except (openai.ConflictError, openai.BadRequestError, openai.UnprocessableEntityError):
            if not (await self.check(remote)).over:
                raise

    async def lines(self, remote: RemoteBatch) -> BatchOutput:
        """Every line of its files."""
        return await files.read(remote.output, self._content, line_of)

    async def _content(self, name: str) -> httpx2.Response:
        try:
            return await self._client.get(
                f"/files/{files.segment(name)}/content",
                cast_to=httpx2.Response,
                options={"timeout": TRANSFER_SECONDS},
            )
        except openai.APIStatusError as error:
            return await files.elsewhere(error.response, TRANSFER_SECONDS)

    def _remote(self, batch: Told) -> RemoteBatch:
        """It as every wire's; raises ``NotUnderstood`` where it has no name."""
        state = str(wire.name(batch, "status") or "?").lower().replace("canceled", "cancelled")
        output = tuple(
            name
            for key in ("output_file", "error_file")
            if isinstance(name := batch.get(f"{key}_id") or batch.get(key), str) and name
        )
        counts = [count for count in self._counts(batch) if type(count) is int]
        # What was served of it before it failed is billed.
        served = any(counts[:1]) or batch.get("output_file_id") or batch.get("output_file")
        return RemoteBatch(
            id=_named(batch, "id"),
            state=state,
            over=state in self.over,
            output=output,
            refused=self._why(batch, counts) if state == "failed" and not served else (),
            unserved=self.over.get(state),
            answered=sum(counts) if len(counts) == 2 else None,
        )

    def _why(self, batch: Told, counts: Sequence[int]) -> tuple[str, ...]:
        """The codes with which it was refused as a whole, of which nothing was served."""
        errors = batch.get("errors")
        told = errors.get("data") if isinstance(errors, dict) else errors
        rows = [row for row in told if isinstance(row, dict)] if isinstance(told, list) else []
        codes = sorted({wire.name(row, "code") or "?" for row in rows})
        return tuple(codes) or (("failed",) if counts == [0, 0] else ())

    def _counts(self, batch: Told) -> Sequence[Any]:
        """How many requests were served and how many failed, where it says so: together as many
        as have a line in its files.
        """
        counts = batch.get("request_counts")
        return [counts.get("completed"), counts.get("failed")] if isinstance(counts, dict) else ()


def batches_of(page: Mapping[str, Any]) -> list[Told]:
    """The batches on a page of a list. Raises ``NotKnownYet`` where it is no such page."""
    found = page.get("data")
    if not isinstance(found, list) or not all(isinstance(batch, dict) for batch in found):
        raise NotKnownYet
    return found


def _ends_before(page: Sequence[Told], moment: float) -> bool:
    """Whether a page of a list that has the newest first goes back beyond a moment."""
    created = [_epoch(batch.get("created_at")) for batch in page]
    told = [one for one in created if one is not None]
    descending = told == sorted(told, reverse=True) and len(set(told)) > 1
    return descending and told[-1] < moment


def _named(told: Told, key: str) -> str:
    name = told.get(key)
    if not isinstance(name, str) or not name:
        raise NotUnderstood(f"the reply has no {key}")
    return name


def _epoch(moment: object) -> float | None:
    """Epoch seconds, as numbers or in ISO's form; ``None`` for anything else."""
    try:
        if isinstance(moment, int | float):
            return float(moment)
        return datetime.fromisoformat(str(moment)).timestamp()
    except (ValueError, OverflowError):
        return None


def _refused(error: openai.APIStatusError) -> Exception:
    if error.status_code not in REFUSED:
        return error
    told = error.body if isinstance(error.body, dict) else {}
    # Azure refuses at once what does not fit beside others, and may say so in words alone.
    full = "token_limit_exceeded" in f"{told.get('code')} {told.get('message')}"
    return BatchRefused("token_limit_exceeded" if full else f"HTTP {error.status_code}")


def line_of(text: bytes) -> ResultLine | None:
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
        if type(status) is not int or not 100 <= status <= 599 or not isinstance(body, dict):
            return None
        return ResultLine(key=key, status=status, body=body)
    if isinstance(error, dict):
        return ResultLine(key=key, code=wire.name(error, "code") or "?")
    return ResultLine(key=key, code="?") if isinstance(error, str) and error else None
