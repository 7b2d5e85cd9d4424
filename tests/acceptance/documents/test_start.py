"""docs/start.md, block by block as it is written, with the sandbox in the provider's place."""

import subprocess
import sys
from pathlib import Path

import pytest
import redis

from tests.repository.documents import Block, blocks
from tests.waiting import until
from tools.reference import broker
from tools.system import ROOT, System

pytestmark = pytest.mark.processes

PAGE = [block for block in blocks() if block.path == "docs/start.md" and block.mark != "not run"]


def shown(language: str, beginning: str) -> Block:
    """The page's block of this language that has this in its first line."""
    found = [b for b in PAGE if b.language == language and beginning in b.text.splitlines()[0]]
    (block,) = found
    return block


def on_the_sandbox(policy: str, port: int) -> str:
    """The policy with the sandbox's address in its deployment, which says so."""
    at_home = 'engine = "anthropic"\n'
    assert policy.count(at_home) == 1
    served = f'{at_home}base_url = "http://127.0.0.1:{port}"\nsimulated = true\n'
    policy = policy.replace(at_home, served).replace("claude-sonnet-4-5", "frontier-large", 1)
    return f"allow_simulated = true\n{policy}"


def run(words: list[str], folder: Path, environ: dict[str, str]) -> str:
    ran = subprocess.run(
        words, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=120
    )
    assert ran.returncode == 0, f"{words}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


def test_the_start_works_as_it_is_written(tmp_path: Path) -> None:
    processes = shown("console", "tierqueue worker").commands
    assert processes[-1] == "tierqueue flower"
    lines = {line.split()[-1]: line for line in processes}
    system = System(
        tmp_path,
        policy=tmp_path / "tierqueue.toml",
        processes=("sandbox", *lines),
        lines={**lines, "flower": f"{lines['flower']} --port $FLOWER_PORT"},
        environ={"ANTHROPIC_API_KEY": "your-key"},
    )
    exported = [line.split()[1].split("=") for line in shown("sh", "export").text.splitlines()]
    assert {name for name, _ in exported} <= system.environ.keys()
    policy = on_the_sandbox(shown("toml", "default_sensitivity").text, system.sandbox_port)
    (tmp_path / "tierqueue.toml").write_text(policy, encoding="utf-8")
    for line in shown("console", "policy check").commands:
        run(line.split(), tmp_path, system.environ)
    with system:
        until(lambda: _well(system, tmp_path))
        for line in shown("console", "tierqueue health").commands:
            run(line.split(), tmp_path, system.environ)
        program = shown("python", "from tierqueue.tasks").text
        printed = run([sys.executable, "-c", program], ROOT, system.environ)
        label, cost = printed.strip().rsplit(" ", 1)
        assert label in program
        assert cost.startswith("$")
        looks = shown("console", "tierqueue status").commands
        said = {line: run(line.split(), tmp_path, system.environ) for line in looks}
        assert "succeeded" in said["tierqueue item list"]
        assert cost in said["tierqueue spend"]
        with redis.Redis.from_url(system.broker_url) as client:
            keys = [key.decode() for key in client.scan_iter()]
        assert keys
        assert [key for key in keys if not broker.covered(key)] == []


def _well(system: System, folder: Path) -> bool:
    asked = ["tierqueue", "health"]
    return subprocess.run(asked, cwd=folder, env=system.environ, check=False).returncode == 0
