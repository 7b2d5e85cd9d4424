"""Starts real sandbox processes and talks to them through the real SDKs, which never retry."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

ROOT = Path(__file__).resolve().parents[2]


class Provider:
    """A running sandbox: its port, its log, a client of each kind."""

    def __init__(self, log: Path, *flags: str) -> None:
        self.log = log
        command = [sys.executable, "-m", "sandbox", "--port", "0", "--log", str(log), *flags]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(json.loads(self.process.stdout.readline())["port"])
        self.url = f"http://127.0.0.1:{self.port}"
        self.openai = openai.OpenAI(base_url=f"{self.url}/v1", api_key="any", max_retries=0)
        self.anthropic = anthropic.Anthropic(base_url=self.url, api_key="any", max_retries=0)

    def ask_openai(self, prompt: str, model: str = "open-small", **more: Any) -> Any:
        """One chat completion with the headers of the reply: ``.headers`` and ``.parse()``."""
        return self.openai.chat.completions.with_raw_response.create(
            model=model, messages=[{"role": "user", "content": prompt}], **more
        )

    def ask_anthropic(self, prompt: str, model: str = "frontier-large", **more: Any) -> Any:
        """One message, likewise."""
        return self.anthropic.messages.with_raw_response.create(
            model=model,
            messages=[{"role": "user", "content": prompt}],
            **{"max_tokens": 200, **more},
        )

    def ask(self, api: str, prompt: str, **more: Any) -> Any:
        """By either API."""
        return (self.ask_openai if api == "openai" else self.ask_anthropic)(prompt, **more)

    def lines(self) -> list[dict[str, Any]]:
        """The log so far."""
        return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]

    def end(self) -> int:
        """SIGTERM; the exit status."""
        self.process.terminate()
        status = self.process.wait(timeout=60)
        self.close()
        return status

    def close(self) -> None:
        """Close the clients and the pipe, and the process if it still runs."""
        self.openai.close()
        self.anthropic.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(timeout=60)
        assert self.process.stdout is not None
        self.process.stdout.close()


Start = Callable[..., Provider]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """``start(*flags, log=...)`` runs a sandbox of the test's own."""
    with ExitStack() as stack:

        def one(*flags: str, log: Path = tmp_path / "sandbox.jsonl") -> Provider:
            provider = Provider(log, *flags)
            stack.callback(provider.close)
            return provider

        yield one


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """One plain sandbox for all tests that leave nothing behind but log lines."""
    running = Provider(tmp_path_factory.mktemp("sandbox") / "log.jsonl")
    yield running
    running.close()
