"""The ``tierqueue`` command, called in the test's own process."""

import json
from typing import Any

import pytest

from tierqueue.operations.cli import main

ONE_DEPLOYMENT = """
[deployments.best]
tier = "frontier"
engine = "anthropic"
model = "best"
boundary = "vendor:acme"
key_env = "ACME_KEY"
context_window = 100000
prices = { input = "5", output = "25" }
"""
"""A policy for commands that need one and route nothing."""


class Command:
    """The command in this process, on a ledger of the test's own; its wakes reach nobody."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str, status: int = 0) -> str:
        """Its stdout; fails where it ends with another status or complains."""
        ended, out, err = self.run(*words)
        assert ended == status, err
        return out

    def json(self, *words: str, status: int = 0) -> Any:
        """What it tells scripts."""
        return json.loads(self(*words, "--json", status=status))

    def complaint(self, *words: str) -> str:
        """What it says on stderr, and nothing else, with exit status 2."""
        ended, out, err = self.run(*words)
        assert (ended, out) == (2, "")
        return err

    def run(self, *words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(words))
        out, err = self._capsys.readouterr()
        return int(str(ended.value.code)), out, err
