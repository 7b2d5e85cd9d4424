"""A batch and its life: ``validating``, ``in_progress``, ``finalizing``, then one of four ends.

https://developers.openai.com/api/docs/guides/batch: a batch ends as ``completed``, ``failed`` (its
input file was refused, nothing was served), ``expired`` (its window is over) or ``cancelled``. What
was served before is billed and in the output file all the same; what was not stands in the error
file as ``batch_expired`` or ``batch_cancelled``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from sandbox.batch.files import File, Files
from sandbox.batch.requests import Request
from sandbox.batch.terms import WINDOW
from sandbox.wires.call import Json

Status = Literal[
    "validating",
    "failed",
    "in_progress",
    "finalizing",
    "completed",
    "expired",
    "cancelling",
    "cancelled",
]
OVER: frozenset[Status] = frozenset({"failed", "completed", "expired", "cancelled"})


@dataclass(frozen=True, slots=True)
class Line:
    """What stands in a file for one request; ``served``: in the output file, else in the error
    file. Empty: nothing stands anywhere.
    """

    text: str
    served: bool


Serve = Callable[[Request], Line]
Unserved = Callable[[Request, Literal["expired", "cancelled"]], str]
"""What stands in the error file for a request that was not served, and why it was not."""


@dataclass(slots=True)
class Batch:
    """One batch; times in epoch seconds. ``seconds``: how long it takes if nobody ends it."""

    id: str
    input_file: str
    metadata: dict[str, str]
    created: float
    seconds: float
    cancelling: float
    serve: Serve
    unserved: Unserved
    window: float = WINDOW
    model: str = ""
    requests: list[Request] = field(default_factory=list)
    tokens: int = 0
    errors: list[Json] = field(default_factory=list)
    status: Status = "validating"
    at: dict[str, float] = field(default_factory=dict)
    output_file: str | None = None
    error_file: str | None = None
    completed: int = 0
    failed: int = 0
    _done: int = 0
    _lines: list[Line] = field(default_factory=list)

    @property
    def expires(self) -> float:
        """When its window is over."""
        return self.created + self.window

    @property
    def left(self) -> int:
        """How many requests were not served."""
        return len(self.requests) - self._done

    def advance(self, now: float, files: Files) -> None:
        """Bring it up to ``now``: serve what is due, and end it where its time has come."""
        if self.status in OVER:
            return
        if self.status == "validating":
            self._enter("in_progress", self.created)
        cancelled = self.at.get("cancelling")
        stop = self.expires if cancelled is None else cancelled + self.cancelling
        self._serve_until(min(now, stop))
        if self._done == len(self.requests) and cancelled is None:
            self._close("completed", self.created + self.seconds, files)
        elif now >= stop:
            self._close("expired" if cancelled is None else "cancelled", stop, files)

    def cancel(self, now: float) -> None:
        """Stop it; what is being served is still done."""
        self._enter("cancelling", now)

    def fail(self, errors: list[Json], now: float) -> None:
        """Its input file was refused: nothing is served."""
        self.errors = errors
        self._enter("failed", now)

    def as_json(self) -> Json:
        """The ``batch`` object."""
        stamps = {f"{name}_at": int(at) for name, at in self.at.items()}
        names = ("in_progress", "finalizing", "completed", "failed", "expired")
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "model": self.model or None,
            "errors": {"object": "list", "data": self.errors} if self.errors else None,
            "input_file_id": self.input_file,
            "completion_window": "24h",
            "status": self.status,
            "output_file_id": self.output_file,
            "error_file_id": self.error_file,
            "created_at": int(self.created),
            "expires_at": int(self.created + WINDOW),
            **{f"{name}_at": None for name in (*names, "cancelling", "cancelled")},
            **stamps,
            "request_counts": {
                "total": len(self.requests),
                "completed": self.completed,
                "failed": self.failed,
            },
            "metadata": self.metadata or None,
        }

    def _serve_until(self, now: float) -> None:
        count = len(self.requests)
        gone = now - self.created
        due = count if gone >= self.seconds else int(count * max(gone, 0.0) / self.seconds)
        while self._done < due:
            line = self.serve(self.requests[self._done])
            self._lines.append(line)
            self.completed += line.served
            self.failed += not line.served
            self._done += 1

    def _close(
        self, status: Literal["completed", "expired", "cancelled"], at: float, files: Files
    ) -> None:
        if status in ("expired", "cancelled"):
            for request in self.requests[self._done :]:
                line = Line(self.unserved(request, status), served=False)
                self._lines.append(line)
                self.failed += bool(line.text)
        self._enter("finalizing", at)
        # Any order, as vendors say: whoever counts on the order of the input learns it here.
        lines = self._lines[::-1]
        self.output_file = _file(files, f"{self.id}_output.jsonl", lines, at, served=True)
        self.error_file = _file(files, f"{self.id}_error.jsonl", lines, at, served=False)
        self._enter(status, at)

    def _enter(self, status: Status, at: float) -> None:
        self.status = status
        self.at[status] = at


def _file(files: Files, name: str, lines: list[Line], at: float, *, served: bool) -> str | None:
    texts = [line.text for line in lines if line.served is served and line.text]
    if not texts:
        return None
    file: File = files.add(name, "batch_output", ("\n".join(texts) + "\n").encode(), at)
    return file.id
