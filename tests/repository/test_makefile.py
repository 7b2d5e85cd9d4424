"""The Makefile says what it can do, and keeps what it promises about keys."""

import os
import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes


def make(root: Path, *arguments: str, **environment: str) -> str:
    """What make prints; nothing it would install is touched, ``.venv`` is taken as it is."""
    return subprocess.run(
        ["make", "--no-print-directory", "-o", "setup", *arguments],
        cwd=root,
        env={**os.environ, "MAKEFLAGS": "", "MAKELEVEL": "0", **environment},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout


@pytest.fixture(scope="module")
def targets(root: Path) -> set[str]:
    """Every target a person may ask for: those of the Makefile that are no file."""
    text = (root / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z%-]+):", text, re.MULTILINE))


def test_make_alone_lists_every_target(root: Path, targets: set[str]) -> None:
    listed = set(re.findall(r"^  make (\S+) +\S", make(root), re.MULTILINE))
    assert {"setup", "demo", "up", "test", "lint", "check", "engine", "lock"} <= targets
    assert listed == targets


def test_every_target_that_is_no_file_is_phony(root: Path, targets: set[str]) -> None:
    text = (root / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony is not None
    assert set(phony.group(1).split()) == {target for target in targets if "%" not in target}


@pytest.mark.parametrize(
    "variable", ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENROUTER_API_KEY", "OPENAI_BASE_URL"]
)
def test_make_test_removes_a_providers_variable(root: Path, variable: str) -> None:
    command = make(root, "-n", "test", **{variable: "not-a-key"})
    assert f"-u {variable} " in command
    assert "not-a-key" not in command


def test_make_test_leaves_other_variables_alone(root: Path) -> None:
    assert "-u HOME" not in make(root, "-n", "test", HOME=os.environ.get("HOME", "/"))


def test_real_calls_are_made_by_make_test_live_alone(root: Path) -> None:
    command = make(root, "-n", "test-live", OPENAI_API_KEY="not-a-key")
    assert "tests/live/calls.py" in command
    assert "-u OPENAI_API_KEY" not in command
    found = subprocess.run(
        [root / ".venv/bin/python", "-m", "pytest", "--collect-only", "-q", "tests/live"],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "no tests collected" in found.stdout


def test_make_passes_a_csv_on_to_the_demo(root: Path) -> None:
    command = make(root, "-n", "demo", "TICKETS=a file.csv", "COLUMN=text", "LIVE=1")
    assert "-m examples.demo" in command
    assert "TICKETS='a file.csv' COLUMN='text' LIVE='1'" in command


def test_make_types_links_every_package(root: Path) -> None:
    make(root, "types")
    for package in ("router", "ledger", "tasks", "workers", "operations", "migrations"):
        assert (root / "build/types/tierqueue" / package).resolve() == (root / package).resolve()


def test_the_full_check_runs_the_commands_the_readme_names(root: Path) -> None:
    script = (root / ".ci/run").read_text(encoding="utf-8")
    readme = (root / "README.md").read_text(encoding="utf-8")
    assert os.access(root / ".ci/run", os.X_OK)
    for command in ("make setup", "make engine", "make lint", "make test"):
        assert re.search(rf"^\s*(?:if )?{command}\b", script, re.MULTILINE), command
    assert "make test" in readme


def test_setup_says_what_it_fetches_how_much_and_how_far_it_is(root: Path) -> None:
    command = make(root, "-n", "-W", "requirements/dev.txt", ".venv/.locked")
    locked = (root / "requirements/dev.txt").read_text(encoding="utf-8")
    packages = len(re.findall(r"^[a-z0-9._-]+.*==", locked, re.MULTILINE))
    assert re.search(rf"Fetching {packages} packages into \.venv.*about \d+ MB", command)
    assert f"of {packages} found" in command
    assert "--require-hashes" in command
    assert " -qq " not in command
