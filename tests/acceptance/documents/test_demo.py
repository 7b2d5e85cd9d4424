"""The demo as a newcomer runs it: real processes, broker, ledger and house model; the sandbox."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[3]
DEMO = [sys.executable, "-m", "examples.demo"]
WITHOUT_VLLM = """
import runpy, sys
sys.modules["vllm"] = None
runpy.run_module("examples.demo", run_name="__main__", alter_sys=True)
"""
"""The demo on a machine where no engine is installed."""


@pytest.fixture
def environ() -> dict[str, str]:
    """A shell with a provider's key in it, and settings of another installation."""
    return {
        **os.environ,
        "ANTHROPIC_API_KEY": "never to be seen",
        "TIERQUEUE_LEDGER_URL": "postgresql://nobody@127.0.0.1:1/other",
    }


def descendants(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return list(psutil.Process(process.pid).children(recursive=True))


def environ_of(process: psutil.Process) -> dict[str, str]:
    """What a process was started with; nothing for one that is gone or not yet itself."""
    try:
        found: dict[str, str] = process.environ()
        between_fork_and_exec = process.cmdline()[1:3] == DEMO[1:3]
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return {}
    return {} if between_fork_and_exec else found


def test_every_item_of_the_sample_ends_as_it_should_and_nothing_is_left_running(
    environ: dict[str, str],
) -> None:
    demo = subprocess.Popen(
        [*DEMO, "--json"],
        cwd=ROOT,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    seen: dict[int, psutil.Process] = {}
    while demo.poll() is None:
        for child in descendants(demo):
            seen[child.pid] = child
            assert "ANTHROPIC_API_KEY" not in environ_of(child)
        with contextlib.suppress(subprocess.TimeoutExpired):
            demo.wait(0.2)
    out, err = demo.communicate()
    assert demo.returncode == 0, out + err
    assert len(seen) >= 7
    assert [child for child in seen.values() if child.is_running()] == []

    summary = json.loads(out)
    assert summary["as_intended"]
    assert summary["unended"] == 0
    assert len(summary["cases"]) == 4
    assert all(case["as_intended"] for case in summary["cases"])
    assert summary["dead_letters"] == {"cost_ceiling": 1, "no_route": 1, "invalid": 1}
    found = summary["deployments"]
    assert {name for name, line in found.items() if line["tier"] and not line["simulated"]} == {
        "tiny-tickets"
    }
    assert all(line["ends"]["succeeded"] for line in found.values() if line["tier"])
    house = found["tiny-tickets"]
    assert house["judged"] >= 20
    assert house["right"] / house["judged"] >= 0.8
    assert summary["savings_simulated"]
    assert 0 < summary["cost_nanousd"] < summary["all_on_frontier_nanousd"]


def test_up_stays_until_it_is_interrupted_and_leaves_nothing_running(
    environ: dict[str, str],
) -> None:
    up = subprocess.Popen(
        [sys.executable, "-c", WITHOUT_VLLM, "--up"],
        cwd=ROOT,
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    assert up.stdout is not None
    said = []
    for line in up.stdout:
        said.append(line)
        if "Ctrl-C" in line:
            break
    children = descendants(up)
    assert len(children) >= 7, "".join(said)
    assert any("tiny_tickets" in line for line in said)
    assert any("export TIERQUEUE_LEDGER_URL=" in line for line in said)
    up.send_signal(signal.SIGINT)
    rest = up.stdout.read()
    up.stdout.close()
    assert up.wait(60) == 0, rest
    assert [child for child in children if child.is_running()] == []


def test_live_without_its_keys_starts_nothing_and_names_the_variable(
    environ: dict[str, str],
) -> None:
    environ.pop("OPENROUTER_API_KEY", None)
    done = subprocess.run(
        DEMO,
        cwd=ROOT,
        env={**environ, "LIVE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 2
    assert "set OPENROUTER_API_KEY" in done.stdout
