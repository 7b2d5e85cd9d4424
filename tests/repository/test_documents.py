"""What the README and the documents show works: see ``documents.py`` for how blocks are marked.

The README's first example runs on real processes in ``tests/acceptance/documents/test_readme.py``.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

from tests.repository.documents import LANGUAGES, ROOT, Block, blocks
from tierqueue.migrations import upgrade
from tierqueue.operations.cli import root as command
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.policy import parse_policy
from tierqueue.router.pricing import max_rate
from tierqueue.tasks.settings import PREFIX, Settings

ALL = blocks()


def named(block: Block) -> str:
    return f"{block.path}:{block.line}"


def of(language: str) -> list[Block]:
    return [block for block in ALL if block.language == language and block.mark != "not run"]


def test_every_block_says_what_it_is_and_why_where_it_is_left_out() -> None:
    assert len(ALL) > 10
    assert [named(block) for block in ALL if block.language not in LANGUAGES] == []
    unsaid = [named(block) for block in ALL if block.mark == "not run" and len(block.said) < 10]
    assert unsaid == []


@pytest.mark.parametrize("block", of("toml"), ids=named)
def test_a_policy_that_is_shown_can_be_used(block: Block) -> None:
    if block.mark == "part of a deployment":
        keys = tomllib.loads(block.text).keys()
        assert keys
        assert keys <= Deployment.model_fields.keys()
    else:
        # As processes do before they start: one without a price is refused.
        for deployment in parse_policy(block.text, named(block)).deployments.values():
            max_rate(deployment, datetime.now(UTC).date())


@pytest.mark.parametrize("block", of("json"), ids=named)
def test_json_that_is_shown_is_json(block: Block) -> None:
    rest, decoder, values = block.text.strip(), json.JSONDecoder(), 0
    while rest:
        _, end = decoder.raw_decode(rest)
        rest, values = rest[end:].strip(), values + 1
    assert values


@pytest.mark.parametrize("block", [*of("console"), *of("sh")], ids=named)
def test_a_command_that_is_shown_is_one_that_its_program_accepts(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tickets.csv", "usage.csv", "labels.txt"):
        (tmp_path / name).write_text("text\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    lines = block.text.splitlines() if block.language == "sh" else block.commands
    assert lines
    for line in lines:
        words = shlex.split(line, comments=True)
        if words[0] == "export":
            name = words[1].partition("=")[0]
            assert name.removeprefix(PREFIX).lower() in Settings.model_fields or "_KEY" in name, (
                line
            )
        elif words[0] == "make":
            targets = (ROOT / "Makefile").read_text(encoding="utf-8")
            assert re.search(rf"^{words[1]}:", targets, re.MULTILINE), line
        elif words[:2] == ["pip", "install"]:
            extras = re.findall(r"\[(.*)\]", words[2])
            offered = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
            known = offered["optional-dependencies"].keys()
            assert {extra for found in extras for extra in found.split(",")} <= known, line
        else:
            assert words[0] == "tierqueue", line
            accept(command, words[1:])


def accept(group: click.Command, words: list[str]) -> None:
    """Parse the words as the command does, and run nothing; fails for an error of usage."""
    context = group.make_context("tierqueue", list(words), resilient_parsing=False)
    while isinstance(context.command, click.Group):
        rest = [*context._protected_args, *context.args]
        name, found, more = context.command.resolve_command(context, rest)
        assert found is not None, words
        context = found.make_context(name, more, parent=context)


@pytest.mark.processes
@pytest.mark.parametrize("block", of("python"), ids=named)
def test_python_that_is_shown_runs(block: Block, tmp_path: Path) -> None:
    if "get(timeout" in block.text:
        pytest.skip("runs on real processes: test_readme.py and test_start.py in tests/acceptance")
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    upgrade(url)
    given = f"from tierqueue.tasks import classify\n{block.said}\n" if block.mark == "given" else ""
    ran = subprocess.run(
        [sys.executable, "-c", given + block.text],
        cwd=ROOT,
        # A broker that is down neither raises nor delays a call.
        env={
            "PATH": os.environ["PATH"],
            "TIERQUEUE_LEDGER_URL": url,
            "TIERQUEUE_BROKER_URL": "redis://127.0.0.1:9/0",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr


def test_a_module_that_is_named_with_dash_m_can_be_run(root: Path, tree: list[Path]) -> None:
    program = re.compile(r"-m ((?:bench|examples|sandbox|tools)(?:\.\w+)*)(?!\.\$)")
    missing = []
    for path in tree:
        if path.suffix in (".py", ".md", "") and path.name != "LICENSE":
            for name in program.findall((root / path).read_text(encoding="utf-8")):
                module = root / name.replace(".", "/")
                run = module / "__main__.py" if module.is_dir() else module.with_suffix(".py")
                missing += [] if run.is_file() else [f"{path}: {name}"]
    assert missing == []
