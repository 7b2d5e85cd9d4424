"""What a backend installs: all of `tierqueue`, and nothing else of the checkout."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PACKAGES = ("router", "ledger", "tasks", "workers", "operations", "migrations")


@pytest.fixture(scope="module")
def contents(
    root: Path, tree: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """The wheel's files and their text, built from a copy: a stale build/ cannot leak into it."""
    source = tmp_path_factory.mktemp("source")
    out = tmp_path_factory.mktemp("wheel")
    for path in tree:
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / path, source / path)
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", out)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options, source],
        check=True,
        capture_output=True,
        timeout=60,
    )
    (wheel,) = out.glob("tierqueue-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(
    contents: dict[str, str], tree: list[Path]
) -> None:
    held = {name for name in contents if ".dist-info/" not in name}
    expected = {f"tierqueue/{path.as_posix()}" for path in tree if path.parts[0] in PACKAGES}
    assert "tierqueue/migrations/env.py" in expected
    assert held == expected


def test_the_wheel_offers_one_command_and_one_name_to_import(contents: dict[str, str]) -> None:
    (entry_points,) = (text for name, text in contents.items() if name.endswith("entry_points.txt"))
    assert entry_points.split("[console_scripts]")[1].split() == [
        "tierqueue",
        "=",
        "tierqueue.operations.cli:main",
    ]
    assert {name.split("/")[0] for name in contents if ".dist-info/" not in name} == {"tierqueue"}


def test_a_producers_install_asks_for_no_engine_and_no_providers_sdk(
    contents: dict[str, str],
) -> None:
    (metadata,) = (text for name, text in contents.items() if name.endswith("/METADATA"))
    base = [
        line.removeprefix("Requires-Dist: ")
        for line in metadata.splitlines()
        if line.startswith("Requires-Dist:") and "extra ==" not in line
    ]
    assert any(line.startswith("celery") for line in base)
    refused = ("vllm", "torch", "openai", "anthropic", "flower", "pytest")
    assert [line for line in base if line.startswith(refused)] == []


LINK = re.compile(r"\[([^\]]+)\]\((?!https?:|#)([^)]+)\)")


def test_a_package_page_has_an_author_and_links_to_nothing_that_is_not_there(
    root: Path, contents: dict[str, str]
) -> None:
    (metadata,) = (text for name, text in contents.items() if name.endswith("/METADATA"))
    head, _, description = metadata.partition("\n\n")
    assert "Author: The tierqueue authors" in head
    assert "Keywords: celery," in head
    assert "Classifier: Typing :: Typed" in head
    assert "Description-Content-Type: text/markdown" in head
    readme = (root / "README.md").read_text(encoding="utf-8")
    assert LINK.findall(description) == []
    links = LINK.findall(readme)
    assert links
    for text, path in links:
        assert (root / path.split("#")[0]).exists(), path
        assert text in description
    assert len(description) > 0.9 * len(readme)
