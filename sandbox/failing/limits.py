"""Rate limits of one model: requests and tokens in a sliding minute, and calls at the same time.

A minute may be another window, for tests and benches that have no time.

A call is admitted where its input tokens still fit; the output it turns out to have counts in the
same minute. A call with more of them than any minute has is refused in words of its own, as by
vendors. Refused calls count nowhere. Time is passed in, in seconds on any steady clock.
"""

from collections import deque
from dataclasses import dataclass

from sandbox.wires.call import Refused

WINDOW = 60.0
BUSY_AFTER = 1.0


@dataclass(frozen=True, slots=True)
class Limit:
    """``None`` is no limit: requests a minute, tokens a minute, calls at the same time.

    ``too_large`` is the status for a call above the tokens of a minute: 429, or Groq's 413.
    ``window`` is the minute, in seconds; ``told``: headers say what the limits are.
    """

    rpm: int | None = None
    tpm: int | None = None
    concurrent: int | None = None
    too_large: int = 429
    window: float = WINDOW
    told: bool = True


class Gate:
    """Admits and counts the calls of one model."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.in_flight = 0
        self._requests: deque[float] = deque()
        self._tokens: deque[tuple[float, int]] = deque()
        self._spent = 0

    def enter(self, now: float, input_tokens: int) -> None:
        """Admit a call, or raise ``Refused``: 429 saying when to come back, or for its size.

        ``leave`` must follow an admission.
        """
        limit = self.limit
        self._forget(now)
        if limit.tpm is not None and input_tokens > limit.tpm:
            raise too_large(limit.too_large, limit.tpm, input_tokens)
        if limit.concurrent is not None and self.in_flight >= limit.concurrent:
            raise _refused("concurrent requests", limit.concurrent, BUSY_AFTER)
        if limit.rpm is not None and len(self._requests) >= limit.rpm:
            raise _refused(
                "requests per minute", limit.rpm, self._requests[0] + self.limit.window - now
            )
        if limit.tpm is not None and self._spent + input_tokens > limit.tpm:
            raise _refused("tokens per minute", limit.tpm, self._seconds_until(now, input_tokens))
        self.in_flight += 1
        if limit.rpm is not None:
            self._requests.append(now)
        self.spend(now, input_tokens)

    def leave(self) -> None:
        """The call has ended."""
        self.in_flight -= 1

    def spend(self, now: float, tokens: int) -> None:
        """Count tokens in the minute that begins now."""
        if self.limit.tpm is not None and tokens:
            self._tokens.append((now, tokens))
            self._spent += tokens

    def remaining(self, now: float) -> tuple[int | None, int | None]:
        """Requests and tokens left in this minute; ``None`` where there is no limit."""
        self._forget(now)
        rpm, tpm = self.limit.rpm, self.limit.tpm
        return (
            None if rpm is None else max(0, rpm - len(self._requests)),
            None if tpm is None else max(0, tpm - self._spent),
        )

    def _forget(self, now: float) -> None:
        while self._requests and self._requests[0] <= now - self.limit.window:
            self._requests.popleft()
        while self._tokens and self._tokens[0][0] <= now - self.limit.window:
            self._spent -= self._tokens.popleft()[1]

    def _seconds_until(self, now: float, tokens: int) -> float:
        """Seconds until ``tokens``, no more than a minute has, fit."""
        left = self._spent
        for at, spent in self._tokens:
            left -= spent
            if self.limit.tpm is not None and left + tokens <= self.limit.tpm:
                return at + self.limit.window - now
        return self.limit.window


def too_large(status: int, limit: int, asked: int) -> Refused:
    """What a call is answered that asks for more than any minute has."""
    # Anthropic advises a wait all the same.
    after = WINDOW if status == 429 else None
    return Refused(status, "", after=after, fault="too_large", too_large=(limit, asked))


def _refused(what: str, limit: int, after: float) -> Refused:
    return Refused(
        429, f"simulated rate limit: {limit} {what}", after=max(after, 0.001), fault="limit"
    )
