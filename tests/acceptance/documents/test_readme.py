"""The README's first example, word for word, under the README's own policy, on real processes."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from examples.demo.place import SERVE, TINY_TICKETS
from tests.repository.documents import blocks
from tools.system import ROOT, System, free_port

pytestmark = pytest.mark.processes


def readme(language: str, beginning: str) -> str:
    """The README's block of this language that begins so."""
    (found,) = (
        block.text
        for block in blocks(language)
        if block.path == "README.md" and block.text.startswith(beginning)
    )
    return found


def on_the_tiny_model(policy: str, port: int) -> str:
    """The policy with a model that this machine can run in its own engine's place."""
    served = f'engine = "openai"\nbase_url = "http://127.0.0.1:{port}/v1"\ntop_logprobs = 20'
    assert policy.count('engine = "vllm"') == 1
    policy = policy.replace('engine = "vllm"', served)
    policy = policy.replace('model = "Qwen/Qwen3-8B"', 'model = "tiny-tickets"')
    return re.sub(r"^tokenizer = .*\n", "", policy, flags=re.MULTILINE)


def test_the_first_example_is_answered_as_it_is_shown(tmp_path: Path) -> None:
    example = readme("python", "from tierqueue.tasks import classify")
    shown = "".join(re.findall(r"^#(.*)$", example, re.MULTILINE)).replace("...}", "}")
    expected = ast.literal_eval(shown.replace("[...]", "[]").strip())
    port = free_port()
    system = System(
        tmp_path,
        policy=tmp_path / "tierqueue.toml",
        processes=(TINY_TICKETS, "routing", "gpu"),
        lines={TINY_TICKETS: SERVE},
        environ={"TINY_TICKETS_PORT": str(port)},
    )
    text = on_the_tiny_model(readme("toml", "default_sensitivity"), port)
    (tmp_path / "tierqueue.toml").write_text(text, encoding="utf-8")
    program = f"{example}\nimport json\nprint(json.dumps(ticket.get(timeout=60)))"
    with system:
        ran = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env=system.environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
    assert ran.returncode == 0, ran.stderr
    answer = json.loads(ran.stdout.splitlines()[-1])
    assert answer["output"].keys() == expected["output"].keys()
    assert answer["output"]["label"] == expected["output"]["label"]
    assert answer["output"]["confidence"] == pytest.approx(
        expected["output"]["confidence"], abs=0.05
    )
    for name in ("tier", "attempts", "simulated"):
        assert answer["receipt"][name] == expected["receipt"][name]
    assert expected["receipt"].keys() <= answer["receipt"].keys()
