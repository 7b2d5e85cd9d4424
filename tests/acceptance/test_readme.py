"""The README's first example, word for word, under the README's own policy, on real processes."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.repository.documents import blocks
from tools.system import ROOT, System

pytestmark = pytest.mark.processes


def readme(language: str, beginning: str) -> str:
    """The README's block of this language that begins so."""
    (found,) = (
        block.text
        for block in blocks(language)
        if block.path == "README.md" and block.text.startswith(beginning)
    )
    return found


def on_the_sandbox(policy: str, port: int) -> str:
    """The policy with its house engine's model served by the sandbox, which says so."""
    served = f'engine = "openai"\nbase_url = "http://127.0.0.1:{port}/v1"\nsimulated = true'
    assert policy.count('engine = "vllm"') == 1
    policy = policy.replace('engine = "vllm"', f'{served}\nkey_env = "SANDBOX_KEY"')
    policy = policy.replace('model = "Qwen/Qwen3-8B"', 'model = "house-tiny"')
    policy = re.sub(r"^tokenizer = .*\n", "", policy, flags=re.MULTILINE)
    return f"allow_simulated = true\n{policy}"


def test_the_first_example_is_answered_as_it_is_shown(tmp_path: Path) -> None:
    example = readme("python", "from tierqueue.tasks import classify")
    shown = "".join(re.findall(r"^#(.*)$", example, re.MULTILINE)).replace("...}", "}")
    expected = ast.literal_eval(shown.replace("[...]", "[]").strip())
    system = System(
        tmp_path,
        policy=tmp_path / "tierqueue.toml",
        processes=("sandbox", "routing", "gpu"),
        environ={"SANDBOX_KEY": "sandbox"},
    )
    text = on_the_sandbox(readme("toml", "default_sensitivity"), system.sandbox_port)
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
    labels = re.findall(r"labels=(\[.*\])", example)
    assert answer["output"]["label"] in ast.literal_eval(labels[0])
    for name in ("tier", "attempts"):
        assert answer["receipt"][name] == expected["receipt"][name]
    assert expected["receipt"].keys() <= answer["receipt"].keys()
    # What is shown is a real engine's; the sandbox says of itself that it is none.
    assert (expected["receipt"]["simulated"], answer["receipt"]["simulated"]) == (False, True)
