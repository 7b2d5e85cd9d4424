"""The hook: it hears one JSON value a message, and never holds anything up."""

import json
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.waiting import PATIENCE_SECONDS, until
from tierqueue.router.errors import InvalidPolicy
from tierqueue.router.policy.policy import parse_policy
from tierqueue.router.policy.tables import HookPolicy
from tierqueue.workers.alerts.hook import CAPACITY, Hook

ACME = "budget:acme:day:2024-10-04"


@pytest.mark.processes
def test_a_command_reads_one_json_value(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    script = f"import sys; open({str(out)!r}, 'w').write(sys.stdin.read() + '\\n')"
    told = Hook(HookPolicy(command=(sys.executable, "-c", script)), seconds=PATIENCE_SECONDS)
    told.notify({"what": "x", "limit": 5})
    until(lambda: out.exists() and out.read_text().endswith("\n"))
    assert json.loads(out.read_text()) == {"what": "x", "limit": 5}


@pytest.fixture
def posted() -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    """An address, and what was posted to it."""
    found: list[tuple[str, Any]] = []

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers["Content-Length"])
            found.append((self.path, json.loads(self.rfile.read(size))))
            self.send_response(204 if self.path == "/a?b=c" else 500)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing on stderr."""

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", found
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_webhook_is_posted_to(posted: tuple[str, list[tuple[str, Any]]]) -> None:
    address, found = posted
    Hook(HookPolicy(webhook=f"{address}/a?b=c"), seconds=PATIENCE_SECONDS).notify({"what": "x"})
    until(lambda: found)
    assert found == [("/a?b=c", {"what": "x"})]


def _of(ceiling: str, logs: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """What was logged of this ceiling: hooks of other tests may still fail in their threads."""
    return [line for line in logs if line.get("ceiling") == ceiling]


@pytest.mark.processes
def test_a_hook_that_fails_is_a_log_line_without_its_address(
    posted: tuple[str, list[tuple[str, Any]]],
) -> None:
    address, _ = posted
    hooks = [
        HookPolicy(webhook=f"{address}/token"),
        HookPolicy(webhook="http://127.0.0.1:1/token"),
        HookPolicy(command=(sys.executable, "-c", "raise SystemExit(3)")),
        HookPolicy(command=("/no/such/command",)),
    ]
    hangs = HookPolicy(command=(sys.executable, "-c", "import time; time.sleep(600)"))
    with capture_logs() as logs:
        for policy in hooks:
            Hook(policy, seconds=PATIENCE_SECONDS).notify(
                {"what": "ceiling_warning", "ceiling": ACME}
            )
        Hook(hangs, seconds=0.5).notify({"what": "ceiling_warning", "ceiling": ACME})
        until(lambda: len(_of(ACME, logs)) == len(hooks) + 1)
    assert {line["event"] for line in _of(ACME, logs)} == {"hook_failed"}
    assert {line["why"] for line in _of(ACME, logs)} == {
        "status 500",
        "ConnectionRefusedError",
        "exit status 3",
        "FileNotFoundError",
        "TimeoutExpired",
    }
    assert "token" not in str(logs)


def test_a_hook_that_hangs_holds_nobody_up_and_takes_no_more_than_its_capacity(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released = threading.Event()
    # Whoever was held up would wait here for ever: nothing is released before all are told.
    monkeypatch.setattr(Hook, "_call", lambda *_: released.wait())
    hook = Hook(HookPolicy(command=("true",)))
    with capture_logs() as logs:
        for _ in range(CAPACITY + 5):
            hook.notify({"what": "x", "ceiling": ACME})
    assert {line["why"] for line in _of(ACME, logs)} == {"too many messages wait"}
    assert hook.capacity == 0
    released.set()
    until(lambda: hook.capacity == CAPACITY)


def test_nobody_is_told_where_no_hook_is_stated() -> None:
    hook = Hook(HookPolicy())
    hook.notify({"what": "x"})
    assert hook.capacity == 0


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[hooks]\ncommand = ["a"]\nwebhook = "https://a"', "both stated"),
        ('[hooks]\nwebhook = "ftp://a"', "is not an http"),
        ('[hooks]\nwebhook = "https://u:p@a"', "holds a login"),
        ('[hooks]\nweb = "https://a"', "hooks.web"),
        ("[warnings]\nshares = [1.5]", "shares"),
        ("[warnings]\nburn_rate = -1", "burn_rate"),
    ],
)
def test_a_hook_or_a_warning_that_cannot_be_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(InvalidPolicy, match=complaint):
        parse_policy(text, "tierqueue.toml")
