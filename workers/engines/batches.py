"""The contract of a provider's batch API: files of requests in, files of lines out."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx2

from tierqueue.router.outcome import Reply
from tierqueue.workers.engines.engine import Call


class BatchRefused(Exception):
    """The provider will never take this batch; the message holds no payload. Nothing is billed."""


class NotKnownYet(Exception):
    """Nobody can say yet whether the provider has the batch."""


class NotUnderstood(Exception):
    """The provider did what was asked, and its reply cannot be read; no message holds a payload."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteBatch:
    """A batch as its provider tells of it; nothing it says is a payload.

    ``over``: nothing more will be served. ``output`` names what is there to read. ``refused``: the
    codes with which it was refused as a whole. ``answered``: for how many requests a line stands in
    its files, where the provider says so; ``unserved``: why the others were not served, then.
    """

    id: str
    state: str
    over: bool
    output: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    answered: int | None = None
    unserved: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultLine:
    """What became of one request: a reply as a live call would have it, or an error's code."""

    key: str
    status: int = 0
    body: Mapping[str, Any] = field(default_factory=dict)
    code: str | None = None

    @property
    def answer(self) -> bool:
        """Whether it holds an answer."""
        return self.code is None and 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class BatchOutput:
    """Every line that can be read, in any order, and how many could not. ``simulated``: the files
    say of themselves that they were made up.
    """

    lines: Sequence[ResultLine]
    broken: int
    simulated: bool


class BatchApi(Protocol):
    """One deployment's batches. Whatever cannot be done now raises; only ``BatchRefused`` is for
    ever.
    """

    def line(self, key: str, body: bytes) -> bytes:
        """One request of an input file, a line; ``key`` finds its answer again."""

    async def upload(self, name: str, lines: Sequence[bytes]) -> str | None:
        """Send an input file; returns the provider's id of it, ``None`` where there are none.
        Costs nothing.
        """

    async def ready(self, input_file: str) -> bool:
        """Whether a batch can be made of the file now, which the provider may look through first.
        Raises ``BatchRefused`` where it never can.
        """

    async def create(
        self, name: str, input_file: str | None, lines: Sequence[bytes]
    ) -> RemoteBatch:
        """Have the batch served: from here on it is billed. ``lines`` are its requests, where it
        has no ``input_file``. Raises ``NotUnderstood`` where it was made and nobody can say which
        it is: it is never to be made again.
        """

    async def find(
        self,
        name: str,
        input_file: str | None,
        since: float,
        keys: Collection[str],
        known: Collection[str],
    ) -> RemoteBatch | None:
        """The batch of that name, or of that file, created ``since`` (epoch seconds), if the
        provider has it.

        ``keys`` are all its requests, ``known`` the provider's ids of other batches of ours. Raises
        ``NotKnownYet`` where the provider does not tell it from another's that is still served.
        """

    async def check(self, remote: str) -> RemoteBatch:
        """How it stands."""

    async def cancel(self, remote: str) -> None:
        """Have no more of it served; what was is billed, and can be read once it is over."""

    async def lines(self, remote: RemoteBatch) -> BatchOutput:
        """Everything that its files hold."""


class BatchEngine(Protocol):
    """An engine whose deployment has batches."""

    @property
    def batches(self) -> BatchApi:
        """Its batch API."""

    async def request(self, call: Call) -> bytes | None:
        """The body of the request that a live call would make; nothing is sent. ``None``: none can
        be made.
        """

    def read(self, call: Call, response: httpx2.Response) -> Reply:
        """What a reply is worth, as that of a live call."""
