"""The hook: one command or address that is told of warnings and of what a ceiling ended.

It never delays items: its sender runs in the background, every call has a time limit, and what goes
wrong is one line in the log.
"""

import json
import subprocess
from collections.abc import Mapping
from typing import Any

import structlog

from tierqueue.router.policy.tables import HookPolicy
from tierqueue.tasks.broker.background_sender import BackgroundSender
from tierqueue.workers.alerts.posting import HookFailed, post

_log = structlog.get_logger(__name__)

CAPACITY = 100
"""Most messages that wait for the hook."""

SECONDS = 10.0
"""The longest one call may take."""

Message = Mapping[str, str | int | float | None]
"""What is told: ids and numbers, never what an item says."""


class Hook:
    """Calls what the policy names, one message after the other, in a thread of its own."""

    def __init__(self, policy: HookPolicy, seconds: float = SECONDS) -> None:
        self._policy = policy
        self._seconds = seconds
        self._sender = BackgroundSender("hook", self._call, _failed, waiting=CAPACITY, batch=1)

    @property
    def capacity(self) -> int:
        """How many messages it can take now; 0 where no hook is stated."""
        return self._sender.capacity if self._policy.stated else 0

    def notify(self, message: Message) -> None:
        """Hand a message over; returns at once, and says in the log where its queue is full."""
        if self._policy.stated and not self._sender.put((message,)):
            _log.error("hook_failed", why="too many messages wait", **_named(message))

    def _call(self, messages: list[Message]) -> None:
        body = json.dumps(messages[0]).encode()
        if self._policy.command:
            self._run_command(body)
        elif self._policy.webhook is not None:
            post(self._policy.webhook, body, {}, self._seconds)

    def _run_command(self, body: bytes) -> None:
        ended = subprocess.run(  # noqa: S603 - the operator's own command, from the policy
            self._policy.command,
            input=body,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=self._seconds,
            check=False,
        )
        if ended.returncode:
            raise HookFailed(f"exit status {ended.returncode}")


def _failed(messages: list[Message], error: Exception, _: bool) -> None:
    why = str(error) if isinstance(error, HookFailed) else type(error).__name__
    _log.error("hook_failed", why=why, **_named(messages[0]))


def _named(message: Message) -> dict[str, Any]:
    return {name: message.get(name) for name in ("what", "item", "ceiling")}
